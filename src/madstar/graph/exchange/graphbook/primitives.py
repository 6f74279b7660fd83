"""Which functions of the vocabulary are primitives of Graphbook, and under what conditions.

Graphbook's elementwise primitives take arrays of one shape, its dimensions are numbers from 0 on. Where a
node is wider than that it is written under its own name, "madstar:add".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...model import Attribute, Node, Value

OWN = "madstar:"
"""Before the names of functions that Graphbook does not have."""

READ = "read_from_file"
"""The primitive that gives a weight."""


@dataclass(frozen=True, slots=True)
class Equal:
    """A primitive that is a function of the vocabulary: pairs (our slot, their variable), in their order."""

    primitive: str
    op: str
    slots: tuple[tuple[str, str], ...]
    output: str
    one_shape: bool = False


def _table(text: str) -> tuple[Equal, ...]:
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        op, primitive, slots, output, *rest = line.split()
        pairs = tuple((pair.partition("=")[0], pair.partition("=")[2]) for pair in slots.split(","))
        found.append(Equal(primitive, op, pairs, output, "same" in rest))
    return tuple(found)


EQUALS = _table("""
    add add input=left_operand,other=right_operand added_result same
    sub subtract input=left_operand,other=right_operand subtracted_result same
    mul element_wise_multiply input=left_array,other=right_array multiplied_array same
    div divide input=left_operand,other=right_operand divided_result same
    pow element_wise_exponentiate input=base,exponent=exponent exponentiation same
    remainder modulo input=left_operand,other=right_operand result same
    eq equal input=left_operand,other=right_operand is_equal same
    gt greater_than input=left_operand,other=right_operand is_greater_than same
    lt less_than input=left_operand,other=right_operand is_less_than same
    logical_and logical_and input=condition_1,other=condition_2 new_condition same
    logical_or logical_or input=condition_1,other=condition_2 new_condition same
    where conditional_filter condition=condition,input=data_if_true,other=data_if_false output_data same
    logical_not logical_not input=condition new_condition
    abs absolute_value input=target result
    erf error_function input=input output
    sin sine input=input output
    cos cosine input=input output
    isnan is_nan input=array result
    matmul multiply input=left_operand,other=right_operand multiplied_result
    transpose swap_dimensions input=array,dim0=dimension_index_1,dim1=dimension_index_2 swapped_array
    unsqueeze expand_one_dimension input=input,dim=dimension_index output
    select reduce_one_dimension input=input,dim=dimension_index,index=selected_index output
    cat concatenate tensors.0=array_1,tensors.1=array_2,dim=dimension_index concatenated_array
    sum sum input=array,dim=dimension_index,keepdim=keep_dimension sum_result
    mean mean input=array,dim=dimension_index,keepdim=keep_dimension mean_result
    prod product input=array,dim=dimension_index,keepdim=keep_dimension prod_result
    amax maximum input=array,dim=dimension_index,keepdim=keep_dimension maximum_result
    amin minimum input=array,dim=dimension_index,keepdim=keep_dimension minimum_result
    argmax argument_maximum input=array,dim=dimension_index,keepdim=keep_dimension argument
    argmin argument_minimum input=array,dim=dimension_index,keepdim=keep_dimension argument
    cumsum cumulative_sum input=array,dim=dimension_index cum_sum_array
    gather gather input=input,index=index_array,dim=dimension_index gather_array
""")

BY_OP: Mapping[str, Equal] = {equal.op: equal for equal in EQUALS}
BY_PRIMITIVE: Mapping[str, Equal] = {equal.primitive: equal for equal in EQUALS}


def equal_of(node: Node, attributes: Mapping[str, Attribute], types: Mapping[str, Value]) -> Equal | None:
    """The primitive that is this node, if there is one; `types` has what its references are."""
    found = BY_OP.get(node.op)
    if found is None or len(node.outputs) != 1:
        return None
    tensors = [argument.slot for argument in node.arguments]
    if {*tensors, *attributes} != {slot for slot, _ in found.slots} or set(tensors) & set(attributes):
        return None
    if any(type(value) not in (int, bool) or value < 0 for value in attributes.values()):
        return None
    taken = [types[argument.source] for argument in node.arguments]
    if found.one_shape:
        # The condition of a choice is of another dtype.
        data = [value for slot, value in zip(tensors, taken, strict=True) if slot != "condition"]
        fits = not attributes and len({value.shape for value in taken}) == 1
        return found if fits and len({value.dtype for value in data}) == 1 else None
    if node.op == "matmul":
        a, b = taken
        return found if len(a.shape) == len(b.shape) >= 2 and a.shape[:-2] == b.shape[:-2] else None
    return found
