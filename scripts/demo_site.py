"""Copies the demo's libraries, with all that they need, from this environment into a folder: demo_site.py FOLDER."""

import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

folder, todo, done = Path(sys.argv[1]), ["gunicorn", "numpy", "onnxruntime"], set()
while todo:
    name = todo.pop()
    if name in done:
        continue
    done.add(name)
    try:
        found = distribution(name)
    except PackageNotFoundError:
        continue  # of an extra, or for another platform
    for file in found.files or ():
        source = Path(str(found.locate_file(file)))
        if ".." not in file.parts and source.is_file() and file.suffix != ".pyc":
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / file)
    needs = [each for each in found.requires or () if "extra ==" not in each]
    todo += [re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0] for each in needs]
