"""Build the operator's, runner's and exchange's images as files, and load them into the cluster's nodes.

Three layers: base (Debian and Python), dependencies (wheels of a lock file), code. A change of code makes a new top
layer of some hundred KiB, and nodes that hold the lower ones are sent nothing else. Standard library only.
"""
