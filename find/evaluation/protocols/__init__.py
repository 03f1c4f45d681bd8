"""The protocols of FIND-Bench, one module per task: each a function of a model and a data folder."""
