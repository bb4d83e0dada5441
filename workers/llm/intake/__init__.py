"""From a job's work to its sequences: prompts as tokens, checked against what the model can take."""
