"""The head's training in Keras and in TF.js: the same steps must end in the same weights."""
