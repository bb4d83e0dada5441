"""Back of the house: one process per worker, synchronous, owns the device."""
