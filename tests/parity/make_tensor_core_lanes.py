"""Writes tests/fixtures/tensor_core/lanes.txt: which matrix element each lane of a warp holds in which place.

The formulas are those of the PTX ISA manual, "Matrix Fragments for mma.m16n8k8" and "... mma.m16n8k16 with floating point
type" (.f16 and .bf16) and "ldmatrix". One line an element: instruction, operand, lane, element, row, column.
"""
import pathlib

lines = []


def add(instruction, operand, elements, place):
    for lane in range(32):
        group, in_group = lane >> 2, lane % 4
        for i in range(elements):
            row, column = place(group, in_group, i)
            lines.append(f"{instruction} {operand} {lane} {i} {row} {column}")


add("m16n8k16", "a", 8, lambda g, t, i: (g if i < 2 or 4 <= i < 6 else g + 8, t * 2 + (i & 1) + (8 if i >= 4 else 0)))
add("m16n8k16", "b", 4, lambda g, t, i: (t * 2 + (i & 1) + (8 if i >= 2 else 0), g))
add("m16n8k16", "c", 4, lambda g, t, i: (g if i < 2 else g + 8, t * 2 + (i & 1)))
add("m16n8k8", "a", 4, lambda g, t, i: (g if i < 2 else g + 8, t * 2 + (i & 1)))
add("m16n8k8", "b", 2, lambda g, t, i: (t * 2 + (i & 1), g))
add("m16n8k8", "c", 4, lambda g, t, i: (g if i < 2 else g + 8, t * 2 + (i & 1)))
# ldmatrix .x4: register r holds matrix r, whose row i comes from the address of lane 8 r + i; a lane gets two neighbours
# of a row, and with .trans two neighbours of a column. Row 8 r + i here is row i of matrix r.
add("ldmatrix", "plain", 8, lambda g, t, i: (8 * (i // 2) + g, t * 2 + (i & 1)))
add("ldmatrix", "trans", 8, lambda g, t, i: (8 * (i // 2) + t * 2 + (i & 1), g))

out = pathlib.Path(__file__).parent.parent / "fixtures" / "tensor_core" / "lanes.txt"
out.write_text("\n".join(lines) + "\n")
print(f"{out}: {len(lines)} elements")
