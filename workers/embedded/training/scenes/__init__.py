"""The pictures of the embedded image model: scenes that the project describes, draws and recognises."""
