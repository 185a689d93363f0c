"""Prints how many tests of a JUnit report passed."""

import sys
import xml.etree.ElementTree as ElementTree

cases = ElementTree.parse(sys.argv[1]).iter("testcase")
print(sum(not {"failure", "error", "skipped"} & {child.tag for child in case} for case in cases))
