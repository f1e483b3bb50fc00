"""Runs formulas through one shared Triton loop in the interpreter: jobs from stdin, results to stdout, pickled."""

import pickle
import sys

import torch
import triton
import triton.language as tl

from lossmith.formula.triton import triton_function


@triton.jit
def loop(operands, results, parameters, n, FORMULA: tl.constexpr, BLOCK: tl.constexpr):
    """One formula over flat operands: the least loop there is, to show that a formula is all that it needs."""
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n
    values = ()
    for i in tl.static_range(len(operands)):
        values += (tl.load(operands[i] + index, inside, 1.0),)
    found = FORMULA(*values, *parameters)
    for i in tl.static_range(len(results)):
        tl.store(results[i] + index, found[i], inside)


def run(formula, operands, parameters):
    tensors = tuple(torch.from_numpy(operand) for operand in operands)
    results = tuple(torch.full_like(tensors[0], torch.nan) for _ in range(1 + len(tensors)))
    grid = (triton.cdiv(tensors[0].numel(), 1024),)
    loop[grid](tensors, results, parameters, tensors[0].numel(), FORMULA=triton_function(formula), BLOCK=1024)
    return [result.numpy() for result in results]


if __name__ == "__main__":
    jobs = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps([run(*job) for job in jobs]))
