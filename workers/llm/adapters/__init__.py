"""LoRA adapters: read by peft, added to the rows of a step that asked for them."""
