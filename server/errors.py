"""What can go wrong while serving, grouped by who can mend it.

OnsightError (bundle/errors.py)
├── ServerError
│   ├── ConfigurationError    the operator must act: a setting that cannot be, or is not safe
│   ├── TokenStoreError       the operator must act: the token file cannot be read or written, or the name is taken
│   ├── EngineError           the model cannot run on this machine
│   │   ├── ProviderMismatch  the runtime would run elsewhere than asked
│   │   ├── GraphMismatch     the graph's inputs or outputs are not what the manifest says
│   │   ├── VariantRefused    the form that is asked for is not there, or not certified
│   │   └── DeviceFailed      a device refused a call; after that only a new process can use it for certain
│   ├── Overloaded            nobody must act; the caller may try again
│   │   ├── QueueFull         more requests wait than the server lets wait
│   │   ├── DeadlineExceeded  the request waited longer than anyone waits for it
│   │   ├── EngineRestarting  the engine's process ended and is being started again
│   │   └── ChangeUnderWay    models are being loaded or unloaded by name already
│   ├── RegistryError         the caller asked for what is not there
│   │   ├── UnknownModel      no such model is served
│   │   └── ModelsLoading     this worker has not finished loading; try again
│   └── ChangeError           a model was to be loaded or unloaded by name
│       ├── ModelNotLoaded    it does not load, and the text says why
│       ├── StillChanging     some worker is not done yet
│       └── ChangeNotKept     the home folder cannot be written
└── (image and bundle errors: bundle/errors.py)

`server/problems.py` says which status each becomes.
"""

from bundle.errors import OnsightError


class ServerError(OnsightError):
    code = "SERVER"


class ConfigurationError(ServerError):
    code = "CONFIGURATION"


class TokenStoreError(ServerError):
    code = "TOKEN_STORE"


class EngineError(ServerError):
    code = "ENGINE"


class ProviderMismatch(EngineError):
    code = "ENGINE_PROVIDER"


class GraphMismatch(EngineError):
    code = "ENGINE_GRAPH"


class VariantRefused(EngineError):
    code = "ENGINE_VARIANT"


class DeviceFailed(EngineError):
    code = "ENGINE_DEVICE"


class Overloaded(ServerError):
    code = "OVERLOADED"


class QueueFull(Overloaded):
    code = "QUEUE_FULL"


class DeadlineExceeded(Overloaded):
    code = "DEADLINE_EXCEEDED"


class EngineRestarting(Overloaded):
    code = "ENGINE_RESTARTING"


class ChangeUnderWay(Overloaded):
    code = "CHANGE_UNDER_WAY"


class RegistryError(ServerError):
    code = "REGISTRY"


class UnknownModel(RegistryError):
    code = "MODEL_NOT_FOUND"


class ModelsLoading(RegistryError):
    code = "MODELS_LOADING"


class ChangeError(ServerError):
    code = "CHANGE"


class ModelNotLoaded(ChangeError):
    code = "MODEL_NOT_LOADED"


class StillChanging(ChangeError):
    code = "STILL_CHANGING"


class ChangeNotKept(ChangeError):
    code = "CHANGE_NOT_KEPT"
