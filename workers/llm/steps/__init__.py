"""A step: its batch, the forward over it, and its way to the device and back."""
