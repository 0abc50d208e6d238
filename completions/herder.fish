# What fish offers after `herder`: the program itself says.
COMPLETE=fish herder | source
