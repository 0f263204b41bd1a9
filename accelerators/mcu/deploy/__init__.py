"""From an integer network to C sources for a microcontroller.

    binding    a network's layers as the kernels take them: channels filled up to fours, shapes, parameters
    memory     the order of the layers and the address of every tensor in one arena
    sources    the text of every file
    parts      flash, RAM, core and clock of the parts there are (parts.yaml)
    deployer   all of it: what `hwsim deploy -a mcu` calls

docs/deploy.md is the guide.
"""
