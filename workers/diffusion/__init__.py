"""Pictures: an engine over the models and schedulers of diffusers."""
