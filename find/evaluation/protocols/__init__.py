"""The protocols of FIND-Bench, one module a task: each a function of a model and a data folder."""
