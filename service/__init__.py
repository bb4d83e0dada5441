"""Front of the house: asyncio, one process, never imports a tensor library."""
