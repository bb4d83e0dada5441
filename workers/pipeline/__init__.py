"""Text pipelines: stages declared in the settings, each with a model that all jobs share."""
