"""Station "request": each handler reads the journey aloud and leaves the work to the stations."""
