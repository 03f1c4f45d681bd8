"""`findvl data import`: exports of annotation tools become a folder that FIND trains and evaluates on."""

from find.annotation.importing.importer import import_export
from find.annotation.importing.writer import Imported

__all__ = ["Imported", "import_export"]
