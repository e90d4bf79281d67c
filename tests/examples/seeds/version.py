import sys

import pytorch_lightning as pl

print(pl.__version__)  # print the version number of pytorch lightning package
print("arguments:", sys.argv[1:])
