"""Prints the machine code of a kernel's k-loops: where its multiply-adds are, and nothing else should be.

    python tools/show_loops.py lstm forward                        # as this machine runs it
    python tools/show_loops.py gru forward --cpu skylake-avx512    # as another would; nothing is run

A k-loop is a basic block that jumps back to itself, reads one number into all lanes, and in which at least a fifth of
the instructions are multiply-adds: the tiles of rnnbench/kernels/tile.py, one or two for each number of rows. The one
with the most multiply-adds is printed, the others are listed. tests/test_kernel_code.py says what they may hold.
"""

import argparse
import json
import os
import re
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass

KERNELS = ("forward", "backward")
LABEL = re.compile(r"^(\.?L\w+):")
JUMP = re.compile(r"^(?:j\w+|b\.\w+|cbn?z|tbn?z)\s.*?(\.?L\w+)$")
CALCULATION = re.compile(r"v?(?:fn?m(?:add|sub)\d*|mul|add)[ps][sd]\b|fmla\b|fmul\b|fadd\b")
FUSED = re.compile(r"vfn?m(?:add|sub)\d*[ps][sd]\b|fmla\b")
# One number in all lanes: x86 broadcasts (one as a shuffle, before AVX), NEON loads it so or multiplies by one lane.
BROADCAST = re.compile(r"v?(?:broadcasts|movddup|shufps\s+\$0)|\{1to\d+\}|ld1r\b|\bdup\b|\.[sd]\[\d\]")
# LLVM calls the frame by the stack pointer, or by the frame pointer where a function has set one up.
STACK, FRAME, SETS_FRAME = re.compile(r"\(%rsp|\[sp\b"), re.compile(r"\(%rbp"), re.compile(r"movq\s+%rsp, %rbp")


@dataclass(frozen=True)
class Loop:
    """One loop: its instructions in order, comments and directives left out, and whether %rbp holds the frame."""

    instructions: tuple[str, ...]
    framed: bool

    @property
    def fused(self) -> list[str]:
        """Return its multiply-adds."""
        return [line for line in self.instructions if FUSED.match(line)]

    @property
    def stack(self) -> list[str]:
        """Return what it reads from the stack or writes there."""
        return [line for line in self.instructions if STACK.search(line) or (self.framed and FRAME.search(line))]

    @property
    def compares(self) -> list[str]:
        """Return compares, and moves and selections that depend on one; not the jump."""
        return [line for line in self.instructions if re.match(r"v?p?cmp|test|cmov|cs(el|inc)|subs|adds", line)]

    @property
    def is_product(self) -> bool:
        calculations = sum(bool(CALCULATION.match(line)) for line in self.instructions)
        has_broadcast = any(BROADCAST.search(line) for line in self.instructions)
        return has_broadcast and 5 * calculations >= len(self.instructions)


def innermost(assembly: str) -> list[Loop]:
    """Find the loops of one basic block."""
    found: list[Loop] = []
    label, block, framed = None, [], False
    for raw in assembly.splitlines():
        line = re.sub(r"\s+", " ", re.sub(r"\s(##|# |//|;).*", "", raw)).strip()
        if named := LABEL.match(line):
            label, block = named[1], []
        elif line and not line.startswith((".", "#")):
            framed = (framed or bool(SETS_FRAME.match(line))) and not line.endswith(":")
            block.append(line)
            jump = JUMP.match(line)
            if jump and jump[1] == label:
                found.append(Loop(tuple(block), framed))
            if jump:
                label = None
    return found


def k_loops(assembly: str) -> list[Loop]:
    """Find the k-loops, the one with the most multiply-adds first."""
    return sorted((loop for loop in innermost(assembly) if loop.is_product), key=lambda loop: -len(loop.fused))


def assembly(cell: str, kernel: str, dtype: str) -> str:
    """Return the text of a kernel compiled anew: of one that was read from a cache there is no text."""
    with tempfile.TemporaryDirectory() as fresh:
        os.environ["RNNBENCH_CACHE_DIR"] = fresh
        from rnnbench.kernels.compiled import kernels
        from rnnbench.registry import registry

        (text,) = getattr(kernels(registry().cell(cell), dtype), kernel).kernel.inspect_asm().values()
    return text


def described(loop: Loop) -> str:
    mnemonics = Counter(line.split(" ")[0] for line in loop.instructions)
    return (
        f"{len(loop.fused)} multiply-adds of {len(loop.instructions)} instructions, {len(loop.stack)} of them on the "
        f"stack: " + ", ".join(f"{count} {name}" for name, count in mnemonics.most_common())
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell")
    parser.add_argument("kernel", choices=KERNELS)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--cpu", help="one of LLVM's names of CPUs; without it, this machine's")
    parser.add_argument("--json", action="store_true", help="all loops as a list, instead of text")
    options = parser.parse_args()
    if options.cpu:
        os.environ |= {"NUMBA_CPU_NAME": options.cpu, "NUMBA_CPU_FEATURES": ""}
    loops = k_loops(assembly(options.cell, options.kernel, options.dtype))
    if options.json:
        print(json.dumps([asdict(loop) for loop in loops]))
        return
    for loop in loops:
        print(described(loop))
    print("\n" + "\n".join(loops[0].instructions))


if __name__ == "__main__":
    main()
