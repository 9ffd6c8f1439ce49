"""Training sets that outgrow a machine: read and learnt by parts on the workers of a Dask cluster."""
