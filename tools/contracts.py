"""Contracts for import-linter that it does not have.

`standard_library_only`: modules that import the standard library, named siblings, and nothing else.
`ports_between`: adapters that import no other adapter, and an engine that imports no adapter and is imported by none.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from importlinter import Contract, ContractCheck, fields, output

if TYPE_CHECKING:
    from grimp import ImportGraph
    from importlinter.domain.imports import Module


class StandardLibraryOnly(Contract):
    """The `modules`, their parts included, import the standard library, their own parts and the `allowed` modules.

    Nothing else, types included.
    """

    type_name = "standard_library_only"

    modules = fields.SetField(subfield=fields.ModuleField())
    allowed = fields.SetField(subfield=fields.ModuleField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 -- the base's signature
        """Look at what each module imports directly."""
        allowed = names(self.allowed)
        breaches = [
            detail
            for whole in sorted(names(self.modules))
            for module in sorted({whole} | graph.find_descendants(whole))
            for imported in sorted(graph.find_modules_directly_imported_by(module))
            if imported not in allowed
            and not f"{imported}.".startswith(f"{whole}.")
            and imported.split(".")[0] not in sys.stdlib_module_names
            for detail in graph.get_import_details(importer=module, imported=imported)
        ]
        return ContractCheck(kept=not breaches, metadata={"breaches": breaches})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Name each import with its line."""
        for breach in check.metadata["breaches"]:
            output.print_error(
                f"{breach['importer']}:{breach['line_number']}: {breach['line_contents']}: not the standard library"
            )


class PortsBetween(Contract):
    """No adapter imports another or the engine, directly or through others; the engine imports no adapter.

    Modules of the engine may import each other. A module that does not exist yet is passed over.
    """

    type_name = "ports_between"

    adapters = fields.SetField(subfield=fields.StringField())
    engine = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 -- the base's signature
        """Look at the adapters with each engine module in turn: none of them may reach another."""
        adapters = cast("set[str]", self.adapters) & graph.modules
        engine = cast("set[str]", self.engine) & graph.modules
        breaches = {
            (route.heads, route.middle, route.tails)
            for sibling in [*sorted(engine), None]
            for dependency in graph.find_illegal_dependencies_for_layers(
                layers=(adapters if sibling is None else adapters | {sibling},)
            )
            for route in dependency.routes
        }
        return ContractCheck(kept=not breaches, metadata={"breaches": breaches})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Name each chain of imports."""
        for heads, middle, tails in sorted(check.metadata["breaches"], key=str):
            output.print_error(" -> ".join([", ".join(sorted(heads)), *middle, ", ".join(sorted(tails))]))


def names(field: fields.SetField | None) -> set[str]:
    """The names of a field's modules: a contract replaces its fields by their values when it is made."""
    return {module.name for module in cast("set[Module]", field or set())}
