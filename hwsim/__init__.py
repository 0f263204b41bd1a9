"""hwsim: what a network costs on an accelerator, and which accelerator it wants."""

__version__ = "0.1.0"
