"""How compiled functions come together: every callee once, optimised and made machine code within its driver only.

numba makes each function machine code for itself, with an entry from Python, and links what it calls into it: a callee
three calls deep is optimised four times, and all four stay in memory. Here a callee is a *part*: its own code, as it
was written, without an entry from Python. A *whole* is what Python calls; it takes its parts, and theirs, once each,
and they are optimised together. Then the machine code alone is kept.

This uses insides of numba (tests/test_linking.py holds them to what they are taken for): a library's `finalize`,
`_get_module_for_linking`, `_finalize_final_module` and `_linking_libraries`, the pass that lowers a function, and the
engine behind the code generator. Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from llvmlite import binding  # type: ignore[import-untyped]
from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import AnnotateTypes, NativeLowering
from numba.core.untyped_passes import IRProcessing


class PartLibrary(JITCodeLibrary):  # type: ignore[misc]
    """The code of one function, for linking only."""

    def finalize(self) -> None:
        """Nothing is optimised or made machine code."""
        self._raise_if_finalized()
        self._finalize_dynamic_globals()
        _make_repeatable(self._final_module)
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        self._ensure_finalized()
        return self._final_module


class LinkedLibrary(JITCodeLibrary):  # type: ignore[misc]
    """A function with all that it calls, in every form that numba keeps."""

    _linking_libraries: list[Any]

    def finalize(self) -> None:
        """Link the parts, optimise, make machine code."""
        self._linking_libraries = _in_order(self._linking_libraries)
        super().finalize()

    def _verify_declare_only_symbols(self) -> None:
        """Raise RuntimeError where a function has not been linked: calling it would end the process."""
        for function in self._final_module.functions:
            if function.is_declaration and function.name.startswith("_ZN"):
                raise RuntimeError(f"{self.name} is linked without {function.name}")


class WholeLibrary(LinkedLibrary):
    """A function with all that it calls, of which machine code is kept, and bitcode in case another should link it."""

    _bitcode = b""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        engine = self._codegen._engine
        code = binding.ObjectFileRef.from_data(self._codegen._tm.emit_object(self._final_module))
        engine._load_defined_symbols(self._final_module)
        engine._ee.add_object_file(code)
        engine.finalize_object()
        self._finalized = True
        self._linking_libraries = []
        self._bitcode = self._final_module.as_bitcode()
        self._final_module.close()

    def _get_module_for_linking(self) -> Any:
        self._ensure_finalized()
        module = binding.parse_bitcode(self._bitcode)
        _make_repeatable(module)
        return module


def _make_repeatable(module: Any) -> None:
    """Let every function of a module be defined in several parts of a whole."""
    for function in module.functions:
        if not function.is_declaration and function.linkage == binding.Linkage.external:
            function.linkage = "linkonce_odr"


def _in_order(libraries: Sequence[Any]) -> list[Any]:
    """These and all that their parts link, each behind all that link it: what nothing asks for yet is not linked. Any
    other library has linked what it needs."""
    found: dict[Any, None] = {}
    for library in reversed(libraries):
        _put_behind(library, found)
    return list(reversed(found))


def _put_behind(library: Any, found: dict[Any, None]) -> None:
    if library in found:
        return
    if isinstance(library, PartLibrary):
        for inner in reversed(library._linking_libraries):
            _put_behind(inner, found)
    found[library] = None


# --- passes -----------------------------------------------------------------------------------------------------


def _forget_types(state: Any) -> None:
    """What numba keeps for pages and listings of a function's types, which nothing here asks for."""
    state.cr.fndesc.typemap = state.cr.fndesc.calltypes = None


@register_pass(mutates_CFG=True, analysis_only=False)
class LowerPart(NativeLowering):  # type: ignore[misc]
    """numba's lowering into a part, which compiled code can call and Python cannot."""

    _name = "hwsim_lower_part"

    def run_pass(self, state: Any) -> bool:
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        flags = state.flags
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        super().run_pass(state)
        made, name = state.cr, state.func_id.func_name
        entry = _dynfunc.make_function(made.fndesc.lookup_module(), name, "", 0, made.env, (state.library,))
        state.targetctx.insert_user_function(entry, made.fndesc, [state.library])
        state.cr = made._replace(cfunc=entry)
        _forget_types(state)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class LowerWhole(NativeLowering):  # type: ignore[misc]
    """numba's lowering into a whole."""

    _name = "hwsim_lower_whole"

    def run_pass(self, state: Any) -> bool:
        state.library = WholeLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_cfunc_wrapper = True
        super().run_pass(state)
        _forget_types(state)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class LowerLinked(NativeLowering):  # type: ignore[misc]
    """numba's lowering into a library that it can keep on disk, and link."""

    _name = "hwsim_lower_linked"

    def run_pass(self, state: Any) -> bool:
        state.library = LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


class PartCompiler(CompilerBase):  # type: ignore[misc]
    """numba's compiler for a part; `added` are passes that run on the function as it was written."""

    added: ClassVar[Sequence[type]] = ()
    lower: ClassVar[type] = LowerPart

    def define_pipelines(self) -> list[Any]:
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        for own in self.added:
            pipeline.add_pass_after(own, IRProcessing)
        swapped = {NativeLowering: self.lower}
        kept = [(swapped.get(step, step), text) for step, text in pipeline.passes if step is not AnnotateTypes]
        pipeline.passes[:] = kept
        pipeline.finalize()
        return [pipeline]


class WholeCompiler(PartCompiler):
    """The same for a whole."""

    lower = LowerWhole


class LinkedCompiler(PartCompiler):
    """The same for a whole that is kept on disk."""

    lower = LowerLinked
