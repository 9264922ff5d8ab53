from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Manifest(_message.Message):
    __slots__ = ("format_version", "version", "commit", "tfstream_version", "splits", "labels", "schema", "pack", "change")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    TFSTREAM_VERSION_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    version: int
    commit: str
    tfstream_version: str
    splits: _containers.RepeatedCompositeFieldContainer[Split]
    labels: LabelMap
    schema: Schema
    pack: PackParameters
    change: Change
    def __init__(self, format_version: _Optional[int] = ..., version: _Optional[int] = ..., commit: _Optional[str] = ..., tfstream_version: _Optional[str] = ..., splits: _Optional[_Iterable[_Union[Split, _Mapping]]] = ..., labels: _Optional[_Union[LabelMap, _Mapping]] = ..., schema: _Optional[_Union[Schema, _Mapping]] = ..., pack: _Optional[_Union[PackParameters, _Mapping]] = ..., change: _Optional[_Union[Change, _Mapping]] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("message", "author", "time", "parent", "operation")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    message: str
    author: str
    time: str
    parent: int
    operation: str
    def __init__(self, message: _Optional[str] = ..., author: _Optional[str] = ..., time: _Optional[str] = ..., parent: _Optional[int] = ..., operation: _Optional[str] = ...) -> None: ...

class Split(_message.Message):
    __slots__ = ("name", "shards", "statistics", "merged")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    MERGED_FIELD_NUMBER: _ClassVar[int]
    name: str
    shards: _containers.RepeatedCompositeFieldContainer[Shard]
    statistics: Statistics
    merged: _containers.RepeatedCompositeFieldContainer[MergedIndex]
    def __init__(self, name: _Optional[str] = ..., shards: _Optional[_Iterable[_Union[Shard, _Mapping]]] = ..., statistics: _Optional[_Union[Statistics, _Mapping]] = ..., merged: _Optional[_Iterable[_Union[MergedIndex, _Mapping]]] = ...) -> None: ...

class MergedIndex(_message.Message):
    __slots__ = ("path", "first", "shards")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    path: str
    first: str
    shards: int
    def __init__(self, path: _Optional[str] = ..., first: _Optional[str] = ..., shards: _Optional[int] = ...) -> None: ...

class Shard(_message.Message):
    __slots__ = ("path", "index_path", "records", "bytes", "relabelled", "name", "key")
    PATH_FIELD_NUMBER: _ClassVar[int]
    INDEX_PATH_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    RELABELLED_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    path: str
    index_path: str
    records: int
    bytes: int
    relabelled: bool
    name: str
    key: str
    def __init__(self, path: _Optional[str] = ..., index_path: _Optional[str] = ..., records: _Optional[int] = ..., bytes: _Optional[int] = ..., relabelled: bool = ..., name: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class Statistics(_message.Message):
    __slots__ = ("records", "image_bytes", "objects", "background", "label_objects", "label_records", "formats", "rotated", "width", "height", "boxes")
    class LabelObjectsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class LabelRecordsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class FormatsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    LABEL_OBJECTS_FIELD_NUMBER: _ClassVar[int]
    LABEL_RECORDS_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    ROTATED_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    records: int
    image_bytes: int
    objects: int
    background: int
    label_objects: _containers.ScalarMap[str, int]
    label_records: _containers.ScalarMap[str, int]
    formats: _containers.ScalarMap[str, int]
    rotated: int
    width: Range
    height: Range
    boxes: Range
    def __init__(self, records: _Optional[int] = ..., image_bytes: _Optional[int] = ..., objects: _Optional[int] = ..., background: _Optional[int] = ..., label_objects: _Optional[_Mapping[str, int]] = ..., label_records: _Optional[_Mapping[str, int]] = ..., formats: _Optional[_Mapping[str, int]] = ..., rotated: _Optional[int] = ..., width: _Optional[_Union[Range, _Mapping]] = ..., height: _Optional[_Union[Range, _Mapping]] = ..., boxes: _Optional[_Union[Range, _Mapping]] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("min", "mean", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: float
    mean: float
    max: float
    def __init__(self, min: _Optional[float] = ..., mean: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class LabelMap(_message.Message):
    __slots__ = ("labels", "background")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    background: bool
    def __init__(self, labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., background: bool = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("name", "title")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ...) -> None: ...

class Schema(_message.Message):
    __slots__ = ("metadata", "tensor", "target", "features")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    metadata: _containers.ScalarMap[str, str]
    tensor: TensorSpec
    target: TensorSpec
    features: FeatureMap
    def __init__(self, metadata: _Optional[_Mapping[str, str]] = ..., tensor: _Optional[_Union[TensorSpec, _Mapping]] = ..., target: _Optional[_Union[TensorSpec, _Mapping]] = ..., features: _Optional[_Union[FeatureMap, _Mapping]] = ...) -> None: ...

class TensorSpec(_message.Message):
    __slots__ = ("dtype", "shape", "names")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class FeatureMap(_message.Message):
    __slots__ = ("roles", "columns", "numbers")
    class RolesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ROLES_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    roles: _containers.ScalarMap[str, str]
    columns: _containers.ScalarMap[str, str]
    numbers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, roles: _Optional[_Mapping[str, str]] = ..., columns: _Optional[_Mapping[str, str]] = ..., numbers: _Optional[_Iterable[int]] = ...) -> None: ...

class PackParameters(_message.Message):
    __slots__ = ("format", "seed", "shard_bytes", "on_invalid", "max_side", "quality")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SHARD_BYTES_FIELD_NUMBER: _ClassVar[int]
    ON_INVALID_FIELD_NUMBER: _ClassVar[int]
    MAX_SIDE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    format: str
    seed: int
    shard_bytes: int
    on_invalid: str
    max_side: int
    quality: int
    def __init__(self, format: _Optional[str] = ..., seed: _Optional[int] = ..., shard_bytes: _Optional[int] = ..., on_invalid: _Optional[str] = ..., max_side: _Optional[int] = ..., quality: _Optional[int] = ...) -> None: ...
