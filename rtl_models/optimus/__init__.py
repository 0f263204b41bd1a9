"""The circuit of OPTIMUS; see README.md."""
