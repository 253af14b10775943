"""Python exporters: a hub model and its vocab become a TF.js bundle."""
