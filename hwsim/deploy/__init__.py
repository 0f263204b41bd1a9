"""A trained network on a part: `hwsim deploy`.

    command    the command line
    source     which network is meant: a shipped name or MODULE:FUNCTION, with images to take ranges from
    folder     all files of a deployment, or none
    plugin     what an accelerator brings to be deployed to (entry points of group "hwsim.deployers")

docs/deploy.md is the guide.
"""
