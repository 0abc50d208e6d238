# What bash offers after `herder`: the program itself says.
eval "$(COMPLETE=bash herder)"
