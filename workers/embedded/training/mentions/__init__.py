"""The corpus, the training and the judging of the model that finds names, dates and money."""
