"""The groups of the command line: each module is what one word after `folkmoot` can do."""
