"""An ONNX classifier of any make, read and wrapped: the first of the two sources of `onsight import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto

from bundle.manifest import Task
from bundle.reasons import first_line
from exporter.errors import ExportError
from exporter.importing.onnx_read import Input, Output, find_input, find_output, graphs_of, read_onnx
from exporter.importing.onnx_wrap import SMALLEST, wrap
from exporter.importing.original import Answer, Original, task_of_one_output
from exporter.importing.preprocessing import PRESETS, Preprocessing
from exporter.importing.proof_images import generated_pixels
from exporter.parity import LOGIT_TOLERANCE, TOLERANCE

OutputForm = Literal["logits", "probabilities"]
HALF_TOLERANCE: Final = 1e-2  # of a probability: the original rounds to half precision at each step, its wide form not
HALF_LOGIT_TOLERANCE: Final = 5e-2
_SUMS_TO_ONE: Final = 1e-3
_TASKS: Final = {"Softmax": Task.SINGLE_LABEL, "LogSoftmax": Task.SINGLE_LABEL, "Sigmoid": Task.MULTI_LABEL}


def open_onnx(
    path: Path,
    preprocessing: Preprocessing | None,
    *,
    task: Task | None = None,
    output: OutputForm | None = None,
    output_name: str | None = None,
) -> Original:
    """Read, check and wrap. preprocessing: None only for a model of uint8 input, which takes pixels as they are.

    task, output, output_name: what the user says; found out where None. Raises ExportError for what cannot be served.
    """
    model, digest = read_onnx(path)
    notes: list[str] = []
    taken = find_input(path, model, preprocessing or PRESETS["raw-0-255"])
    preprocessing = _checked_preprocessing(path, taken, preprocessing)
    height, width = _size(path, taken, preprocessing)
    given = find_output(path, model, output_name)
    scores = _Scores(path, model, taken, given)
    pixels = preprocessing.values(generated_pixels(height, width, 4))
    raw, _ = scores(pixels)
    form, found = _form(path, given, raw, output, task)
    outputs = raw.shape[1]
    if outputs == 1:
        end = f"a {given.activation} at the end"
        chosen = task_of_one_output(path, _TASKS.get(given.activation or ""), end, task, notes)
    else:
        chosen = _task(path, None if output == "logits" else given.activation, found, task)
    is_half = any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer) or (
        taken.dtype == "float16"
    )
    if is_half:
        notes.append("half precision was widened to full: the weights keep their values, and CPUs run it faster")
    if taken.batch is not None:
        notes.append(f"the batch was fixed at {taken.batch} and is of any size now")
    kinds = {node.op_type for graph in graphs_of(model.graph) for node in graph.node}
    quantised = bool(kinds & {"DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})
    if quantised:
        notes.append("the model is quantised: another CPU may round it otherwise, and refuse it by its golden answers")
    held = [model]
    del model  # `build` lets go of it while it checks what it made

    def build() -> bytes:
        scores.close()
        graph = wrap(
            held.pop(), taken, given, preprocessing, size=(height, width), outputs=outputs, task=chosen,
            from_probabilities=form == "probabilities",
        )  # fmt: skip
        try:
            onnx.checker.check_model(graph, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            if taken.batch is not None:
                raise fixed_batch(path, taken.batch, error) from error
            raise ExportError(f"{path}: the model cannot be wrapped, ONNX says: {first_line(error)}") from error
        return graph

    return Original(
        kind="onnx",
        name=path.name,
        sha256=digest,
        answer=_answer(scores, given, form, chosen),
        build=build,
        preprocessing=preprocessing,
        height=height,
        width=width,
        outputs=outputs,
        task=chosen,
        labels=None,
        output=form,
        output_found=found,
        tolerance=HALF_TOLERANCE if is_half else TOLERANCE,
        logit_tolerance=HALF_LOGIT_TOLERANCE if is_half else LOGIT_TOLERANCE,
        fixed_batch=taken.batch,
        quantised=quantised,
        notes=notes,
    )


def _checked_preprocessing(path: Path, taken: Input, given: Preprocessing | None) -> Preprocessing:
    if given is None:
        if taken.dtype != "uint8":
            raise ExportError(
                f"{path}: expected to be told how its {taken.dtype} pixels are prepared, since the file does not say."
                f" Give --preprocessing one of {', '.join(PRESETS)}, or a JSON file."
            )
        return PRESETS["raw-0-255"]
    if taken.dtype == "uint8" and not given.leaves_values:
        raise ExportError(
            f"{path}: input {taken.name} is uint8 and takes pixels as they are; expected no scale, mean or std. Use"
            " --preprocessing raw-0-255, or a JSON file without them."
        )
    return given


def _size(path: Path, taken: Input, given: Preprocessing) -> tuple[int, int]:
    """(height, width): the graph's where it says, else the preprocessing's."""
    asked = (given.height, given.width)
    sizes = []
    for said, wanted, side in zip((taken.height, taken.width), asked, ("height", "width"), strict=True):
        if said is None and wanted is None:
            raise ExportError(
                f"{path}: input {taken.name} takes any {side}; expected the preprocessing to say which. Give"
                ' --preprocessing a JSON file with "size".'
            )
        is_preset = given in PRESETS.values()
        if said is not None and wanted is not None and said != wanted and not is_preset:
            raise ExportError(
                f"{path}: input {taken.name}: expected the {side} of the preprocessing, {wanted}, found {said} in the"
                " graph. Correct the size, or leave it out."
            )
        size = said if said is not None else wanted
        assert size is not None
        if not 8 <= size <= 4096:
            raise ExportError(f"{path}: input {taken.name}: expected a {side} of 8 to 4096 pixels, found {size}.")
        sizes.append(size)
    return sizes[0], sizes[1]


class _Scores:
    """The original on ONNX Runtime, as it stands: values (N,H,W,3) -> its output (N,C), and what goes into its last
    activation (N,C), or None.
    """

    def __init__(self, path: Path, model: onnx.ModelProto, taken: Input, given: Output) -> None:
        self._path, self._taken = path, taken
        self._names = [given.name] if given.before is None else [given.name, given.before]
        watched = onnx.ModelProto()
        if given.before is not None and given.before not in {value.name for value in model.graph.output}:
            watched.graph.output.append(onnx.helper.make_empty_tensor_value_info(given.before))
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        # What follows a message is merged into it: so one more output needs no second message of the whole model.
        more = watched.SerializeToString()
        source = path.read_bytes() + more if more else str(path)
        try:
            self._session: Any = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's errors share no base class
            raise ExportError(
                f"{path}: expected a model that ONNX Runtime {ort.__version__} runs, it says: {first_line(error)}"
            ) from error

    def close(self) -> None:
        """Give its memory back. It answers no more."""
        self._session = None

    def __call__(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        size = self._taken.batch or 1
        inputs = values if self._taken.layout == "nhwc" else values.transpose(0, 3, 1, 2)  # (N,H,W,3) -> (N,3,H,W)
        inputs = np.ascontiguousarray(inputs.astype(self._taken.dtype))
        parts: list[list[NDArray[np.float32]]] = []
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            kept = len(batch)
            batch = np.concatenate([batch, np.repeat(batch[-1:], size - kept, axis=0)])
            try:
                answers = self._session.run(self._names, {self._taken.name: batch})
            except Exception as error:
                raise ExportError(
                    f"{self._path}: expected the model to answer images of {inputs.shape[1:]}, ONNX Runtime says:"
                    f" {first_line(error)}"
                ) from error
            parts.append([self._flat(answer, size)[:kept] for answer in answers])
        found = [np.concatenate(each).astype(np.float32) for each in zip(*parts, strict=True)]
        return found[0], found[1] if len(found) == 2 else None

    def _flat(self, answer: NDArray[Any], size: int) -> NDArray[Any]:
        if answer.ndim < 2 or len(answer) != size or any(extent != 1 for extent in answer.shape[2:]):
            raise ExportError(
                f"{self._path}: output {self._names[0]}: expected scores of shape ({size}, labels), found"
                f" {answer.shape}. Onsight serves classifiers only."
            )
        return answer.reshape(size, -1)


def _form(
    path: Path, given: Output, raw: NDArray[np.float32], asked: OutputForm | None, task: Task | None
) -> tuple[OutputForm, str]:
    """What the output is, and how that is known."""
    within = bool(np.isfinite(raw).all() and ((raw >= 0) & (raw <= 1)).all())
    if asked == "probabilities" and not within:
        raise ExportError(
            f"{path}: output {given.name}: expected probabilities, as --output says, found values from"
            f" {raw.min():.3g} to {raw.max():.3g}. Leave --output out, or say --output logits."
        )
    if asked is not None:
        end = given.activation if asked == "probabilities" and given.activation else None
        return asked, "as you said" + (f", a {end} at the end" if end else "")
    if given.activation in ("Softmax", "Sigmoid"):
        return "probabilities", f"a {given.activation} at the end"
    if given.activation == "LogSoftmax":
        return "logits", "a LogSoftmax at the end"
    if within and raw.shape[1] > 1 and bool((np.abs(raw.sum(axis=1) - 1) < _SUMS_TO_ONE).all()):
        return "probabilities", "every answer adds up to 1"
    if within and float(np.ptp(raw)) > 0:
        raise ExportError(
            f"{path}: output {given.name}: found values from 0 to 1 and no Softmax or Sigmoid at the end, so that"
            " logits and probabilities cannot be told apart. Say --output logits or --output probabilities, and --task."
        )
    return "logits", "no Softmax or Sigmoid at the end"


def _task(path: Path, activation: str | None, found: str, asked: Task | None) -> Task:
    """activation: at the end, None where the user says that it does not count."""
    says = _TASKS.get(activation or "")
    if says is None and "adds up to 1" in found:
        says = Task.SINGLE_LABEL
    if says is not None and asked is not None and says is not asked:
        raise ExportError(
            f"{path}: expected a {asked.value} model as --task says, found a {says.value} one: {found}. Leave --task"
            " out, or say --output logits if these values are logits all the same."
        )
    return asked or says or Task.SINGLE_LABEL


def _answer(scores: _Scores, given: Output, form: OutputForm, task: Task) -> Answer:
    def answer(values: NDArray[np.float32]) -> tuple[NDArray[np.float32] | None, NDArray[np.float32]]:
        raw, before = scores(values)
        if form == "logits":
            return None, raw
        if before is not None:
            return raw, before
        logits = np.log(np.maximum(raw, SMALLEST))
        if task is Task.MULTI_LABEL:
            logits -= np.log(np.maximum(1 - raw, SMALLEST))
        return raw, logits

    return answer


def fixed_batch(source: Path | str, fixed: int, error: BaseException) -> ExportError:
    return ExportError(
        f"{source}: its batch is fixed at {fixed}, and built in too deep to be freed ({first_line(error)}). Export it"
        " again with a dynamic batch: in torch.onnx.export, dynamic_shapes={...: {0: Dim('batch')}} or dynamic_axes."
    )
