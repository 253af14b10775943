"""Our conversion against TF.js's own, the same model on the same backend."""
