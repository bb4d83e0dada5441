"""Station "dialect": a job's events -> the objects of one API. Pure functions."""
