"""Every symbol of V8 that is in use: mangled name, result and arguments, and the structures that these take.

V8's interface is C++, so symbols carry mangled names and exist in exactly one build: `mini-racer` at `VERSION`. A
`v8::Local` or `v8::MaybeLocal` is one pointer (None when empty) and travels as `c_void_p`; a `v8::Maybe<bool>` is two
bytes, has-value and value. Declarations only: `engine.py` finds the library and binds them.
"""

import ctypes
from typing import Any

DISTRIBUTION = "mini-racer"
VERSION = "0.14.1"

_P = ctypes.c_void_p
_INT = ctypes.c_int
_SIZE = ctypes.c_size_t


class PointerPair(ctypes.Structure):
    """A callback with its data, as V8 passes `DeserializeInternalFieldsCallback` and its like by value."""

    _fields_ = (("callback", _P), ("data", _P))


class StartupData(ctypes.Structure):
    """`v8::StartupData`: a snapshot blob."""

    _fields_ = (("data", _P), ("raw_size", _INT))


class CreateParams(ctypes.Structure):
    """`v8::Isolate::CreateParams`, resource constraints included."""

    _fields_ = (
        ("code_event_handler", _P),
        ("code_range_size", _SIZE),
        ("max_old_generation_size", _SIZE),
        ("max_young_generation_size", _SIZE),
        ("initial_old_generation_size", _SIZE),
        ("initial_young_generation_size", _SIZE),
        ("physical_memory_size", _SIZE),
        ("stack_limit", _P),
        ("snapshot_blob", _P),
        ("counter_lookup", _P),
        ("create_histogram", _P),
        ("add_histogram_sample", _P),
        ("array_buffer_allocator", _P),
        ("array_buffer_allocator_shared", _P * 2),
        ("external_references", _P),
        ("allow_atomics_wait", ctypes.c_bool),
        ("fatal_error_callback", _P),
        ("oom_error_callback", _P),
        ("cpp_heap", _P),
    )


class SharedPointer(ctypes.Structure):
    """`std::shared_ptr<v8::BackingStore>`, which this build passes in two registers; the callee destroys it."""

    _fields_ = (("store", _P), ("control", _P))


class ScriptOrigin(ctypes.Structure):
    """`v8::ScriptOrigin`."""

    _fields_ = (
        ("resource_name", _P),
        ("line_offset", _INT),
        ("column_offset", _INT),
        ("options", _INT),
        ("script_id", _INT),
        ("source_map_url", _P),
        ("host_defined_options", _P),
    )


class Source(ctypes.Structure):
    """`v8::ScriptCompiler::Source`, with spare room for the fields behind those that are set."""

    _fields_ = (
        ("source_string", _P),
        ("resource_name", _P),
        ("line_offset", _INT),
        ("column_offset", _INT),
        ("options", _INT),
        ("source_map_url", _P),
        ("host_defined_options", _P),
        ("cached_data", _P),
        ("consume_cache_task", _P),
        ("spare", _P * 16),
    )


class PromiseRejectMessage(ctypes.Structure):
    """`v8::PromiseRejectMessage`, which V8 passes by value."""

    _fields_ = (("promise", _P), ("event", _INT), ("value", _P))


FUNCTION_CALLBACK = ctypes.CFUNCTYPE(None, _P)
PROMISE_REJECT_CALLBACK = ctypes.CFUNCTYPE(None, PromiseRejectMessage)
NEAR_HEAP_LIMIT_CALLBACK = ctypes.CFUNCTYPE(_SIZE, _P, _SIZE, _SIZE)
OOM_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p, _P)
ENDING_CALLBACK = ctypes.CFUNCTYPE(None)
FATAL_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p)
RESOLVE_CALLBACK = ctypes.CFUNCTYPE(_P, _P, _SIZE, _P)
IMPORT_CALLBACK = ctypes.CFUNCTYPE(_P, _P, _P, _P, _P, _P)
IMPORT_META_CALLBACK = ctypes.CFUNCTYPE(None, _P, _P, _P)
SYNTHETIC_STEPS_CALLBACK = ctypes.CFUNCTYPE(_P, _P, _P)
DELETER = ctypes.CFUNCTYPE(None, _P, _SIZE, _P)

_MAYBE_BOOL = ctypes.c_uint16
_MAYBE_INT = ctypes.c_uint64

# name here: (symbol, result, arguments); a member function takes the object first
SYMBOLS: dict[str, tuple[str, Any, tuple[Any, ...]]] = {
    "init_v8": ("mr_init_v8", None, (ctypes.c_char_p, ctypes.c_char_p)),
    "set_flags": ("_ZN2v82V818SetFlagsFromStringEPKc", None, (ctypes.c_char_p,)),
    "set_print_stack_trace": ("_ZN2v84base18SetPrintStackTraceEPFvvE", None, (_P,)),
    "version": ("mr_v8_version", ctypes.c_char_p, ()),
    "current_platform": ("_ZN2v88internal2V818GetCurrentPlatformEv", _P, ()),
    "pump_message_loop": (
        "_ZN2v88platform15PumpMessageLoopEPNS_8PlatformEPNS_7IsolateENS0_19MessageLoopBehaviorE",
        ctypes.c_bool,
        (_P, _P, _INT),
    ),
    "create_snapshot": (
        "_ZN2v88internal30CreateSnapshotDataBlobInternalENS_15SnapshotCreator20FunctionCodeHandlingEPKcNS_4base5FlagsINS0_8Snapshot14SerializerFlagEiiEE",
        StartupData,
        (_INT, ctypes.c_char_p, _INT),
    ),
    "warm_up_snapshot": (
        "_ZN2v88internal30WarmUpSnapshotDataBlobInternalENS_11StartupDataEPKc",
        StartupData,
        (StartupData, ctypes.c_char_p),
    ),
    # isolate
    "create_params_init": ("_ZN2v87Isolate12CreateParamsC1Ev", None, (_P,)),
    "new_default_allocator": ("_ZN2v811ArrayBuffer9Allocator19NewDefaultAllocatorEv", _P, ()),
    "default_isolate_group": ("_ZN2v812IsolateGroup10GetDefaultEv", None, (_P,)),
    "array_buffer_memory": ("_ZN2v88internal12IsolateGroup32GetSandboxedArrayBufferAllocatorEv", _P, (_P,)),
    "isolate_new": ("_ZN2v87Isolate3NewERKNS0_12CreateParamsE", _P, (_P,)),
    "isolate_enter": ("_ZN2v87Isolate5EnterEv", None, (_P,)),
    "isolate_exit": ("_ZN2v87Isolate4ExitEv", None, (_P,)),
    "isolate_dispose": ("_ZN2v87Isolate7DisposeEv", None, (_P,)),
    "set_microtasks_policy": ("_ZN2v87Isolate19SetMicrotasksPolicyENS_16MicrotasksPolicyE", None, (_P, _INT)),
    "perform_microtask_checkpoint": ("_ZN2v87Isolate26PerformMicrotaskCheckpointEv", None, (_P,)),
    "terminate_execution": ("_ZN2v87Isolate18TerminateExecutionEv", None, (_P,)),
    "low_memory_notification": ("_ZN2v87Isolate21LowMemoryNotificationEv", None, (_P,)),
    "collect_garbage": (
        "_ZN2v87Isolate34RequestGarbageCollectionForTestingENS0_21GarbageCollectionTypeE",
        None,
        (_P, _INT),
    ),
    "get_heap_statistics": ("_ZN2v87Isolate17GetHeapStatisticsEPNS_14HeapStatisticsE", None, (_P, _P)),
    "add_near_heap_limit_callback": ("_ZN2v87Isolate24AddNearHeapLimitCallbackEPFmPvmmES1_", None, (_P, _P, _P)),
    "set_promise_reject_callback": (
        "_ZN2v87Isolate24SetPromiseRejectCallbackEPFvNS_20PromiseRejectMessageEE",
        None,
        (_P, _P),
    ),
    "seal_handle_scope": ("_ZN2v815SealHandleScopeC1EPNS_7IsolateE", None, (_P, _P)),
    # context
    "context_new": (
        "_ZN2v87Context3NewEPNS_7IsolateEPNS_22ExtensionConfigurationENS_10MaybeLocalINS_14ObjectTemplateEEENS5_INS_5ValueEEENS_33DeserializeInternalFieldsCallbackEPNS_14MicrotaskQueueENS_30DeserializeContextDataCallbackENS_29DeserializeAPIWrapperCallbackE",
        _P,
        (_P, _P, _P, _P, PointerPair, _P, PointerPair, PointerPair),
    ),
    "context_enter": ("_ZN2v87Context5EnterEv", None, (_P,)),
    "context_exit": ("_ZN2v87Context4ExitEv", None, (_P,)),
    "context_global": ("_ZN2v87Context6GlobalEv", _P, (_P,)),
    "context_extras": ("_ZN2v87Context22GetExtrasBindingObjectEv", _P, (_P,)),
    # values
    "string_new": (
        "_ZN2v86String11NewFromUtf8EPNS_7IsolateEPKcNS_13NewStringTypeEi",
        _P,
        (_P, ctypes.c_char_p, _INT, _INT),
    ),
    "utf8_value_init": ("_ZN2v86String9Utf8ValueC1EPNS_7IsolateENS_5LocalINS_5ValueEEE", None, (_P, _P, _P)),
    "utf8_value_drop": ("_ZN2v86String9Utf8ValueD1Ev", None, (_P,)),
    "object_get": ("_ZN2v86Object3GetENS_5LocalINS_7ContextEEENS1_INS_5ValueEEE", _P, (_P, _P, _P)),
    "object_set": ("_ZN2v86Object3SetENS_5LocalINS_7ContextEEENS1_INS_5ValueEEES5_", _MAYBE_BOOL, (_P, _P, _P, _P)),
    "create_data_property": (
        "_ZN2v86Object18CreateDataPropertyENS_5LocalINS_7ContextEEENS1_INS_4NameEEENS1_INS_5ValueEEE",
        _MAYBE_BOOL,
        (_P, _P, _P, _P),
    ),
    "value_is_object": ("_ZNK2v85Value8IsObjectEv", ctypes.c_bool, (_P,)),
    "array_buffer_length": ("_ZNK2v811ArrayBuffer10ByteLengthEv", _SIZE, (_P,)),
    "array_buffer_data": ("_ZNK2v811ArrayBuffer4DataEv", _P, (_P,)),
    "array_buffer_new": (
        "_ZN2v811ArrayBuffer8MaybeNewEPNS_7IsolateEmNS_30BackingStoreInitializationModeE",
        _P,
        (_P, _SIZE, _INT),
    ),
    "array_buffer_over": (
        "_ZN2v811ArrayBuffer3NewEPNS_7IsolateENSt4__Cr10shared_ptrINS_12BackingStoreEEE",
        _P,
        (_P, SharedPointer),
    ),
    "array_buffer_store": ("_ZN2v811ArrayBuffer15GetBackingStoreEv", SharedPointer, (_P,)),
    "array_buffer_detach": ("_ZN2v811ArrayBuffer6DetachENS_5LocalINS_5ValueEEE", _MAYBE_BOOL, (_P, _P)),
    "backing_store_over": ("_ZN2v811ArrayBuffer15NewBackingStoreEPvmPFvS1_mS1_ES1_", _P, (_P, _SIZE, _P, _P)),
    "backing_store_destroy": ("_ZN2v812BackingStoreD1Ev", None, (_P,)),
    "operator_delete": ("_ZdlPv", None, (_P,)),
    "function_new": (
        "_ZN2v88Function3NewENS_5LocalINS_7ContextEEEPFvRKNS_20FunctionCallbackInfoINS_5ValueEEEENS1_INS_4DataEEEiNS_19ConstructorBehaviorENS_14SideEffectTypeE",
        _P,
        (_P, _P, _P, _INT, _INT, _INT),
    ),
    "function_call": (
        "_ZN2v88Function4CallENS_5LocalINS_7ContextEEENS1_INS_5ValueEEEiPS5_",
        _P,
        (_P, _P, _P, _INT, _P),
    ),
    "globalize": ("_ZN2v812api_internal18GlobalizeReferenceEPNS_8internal7IsolateEm", _P, (_P, _SIZE)),
    "dispose_global": ("_ZN2v812api_internal13DisposeGlobalEPm", None, (_P,)),
    # scripts
    "script_compile": (
        "_ZN2v86Script7CompileENS_5LocalINS_7ContextEEENS1_INS_6StringEEEPNS_12ScriptOriginE",
        _P,
        (_P, _P, _P),
    ),
    "script_run": ("_ZN2v86Script3RunENS_5LocalINS_7ContextEEE", _P, (_P, _P)),
    # exceptions
    "try_catch_init": ("_ZN2v88TryCatchC1EPNS_7IsolateE", None, (_P, _P)),
    "try_catch_drop": ("_ZN2v88TryCatchD1Ev", None, (_P,)),
    "try_catch_has_caught": ("_ZNK2v88TryCatch9HasCaughtEv", ctypes.c_bool, (_P,)),
    "try_catch_has_terminated": ("_ZNK2v88TryCatch13HasTerminatedEv", ctypes.c_bool, (_P,)),
    "try_catch_exception": ("_ZNK2v88TryCatch9ExceptionEv", _P, (_P,)),
    "try_catch_message": ("_ZNK2v88TryCatch7MessageEv", _P, (_P,)),
    "try_catch_capture_message": ("_ZN2v88TryCatch17SetCaptureMessageEb", None, (_P, ctypes.c_bool)),
    "create_message": ("_ZN2v89Exception13CreateMessageEPNS_7IsolateENS_5LocalINS_5ValueEEE", _P, (_P, _P)),
    "message_text": ("_ZNK2v87Message3GetEv", _P, (_P,)),
    "message_line": ("_ZNK2v87Message13GetLineNumberENS_5LocalINS_7ContextEEE", _MAYBE_INT, (_P, _P)),
    "message_column": ("_ZNK2v87Message14GetStartColumnEv", _INT, (_P,)),
    "message_resource": ("_ZNK2v87Message21GetScriptResourceNameEv", _P, (_P,)),
    "type_error": ("_ZN2v89Exception9TypeErrorENS_5LocalINS_6StringEEENS1_INS_5ValueEEE", _P, (_P, _P)),
    "syntax_error": ("_ZN2v89Exception11SyntaxErrorENS_5LocalINS_6StringEEENS1_INS_5ValueEEE", _P, (_P, _P)),
    "throw_exception": ("_ZN2v87Isolate14ThrowExceptionENS_5LocalINS_5ValueEEE", _P, (_P, _P)),
    # modules
    "compile_module": (
        "_ZN2v814ScriptCompiler13CompileModuleEPNS_7IsolateEPNS0_6SourceENS0_14CompileOptionsENS0_13NoCacheReasonE",
        _P,
        (_P, _P, _INT, _INT),
    ),
    "instantiate_module": (
        "_ZN2v86Module17InstantiateModuleENS_5LocalINS_7ContextEEEPFNS_10MaybeLocalIS0_EES3_mNS1_IS0_EEEPFNS4_INS_6ObjectEEES3_mS6_E",
        _MAYBE_BOOL,
        (_P, _P, _P, _P),
    ),
    "evaluate_module": ("_ZN2v86Module8EvaluateENS_5LocalINS_7ContextEEE", _P, (_P, _P)),
    "module_namespace": ("_ZN2v86Module18GetModuleNamespaceEv", _P, (_P,)),
    "module_script_id": ("_ZNK2v86Module8ScriptIdEv", _INT, (_P,)),
    "module_identity_hash": ("_ZNK2v86Module15GetIdentityHashEv", _INT, (_P,)),
    "module_requests": ("_ZNK2v86Module17GetModuleRequestsEv", _P, (_P,)),
    "module_offset_location": ("_ZNK2v86Module22SourceOffsetToLocationEi", ctypes.c_uint64, (_P, _INT)),
    "request_specifier": ("_ZNK2v813ModuleRequest12GetSpecifierEv", _P, (_P,)),
    "request_attributes": ("_ZNK2v813ModuleRequest19GetImportAttributesEv", _P, (_P,)),
    "synthetic_module": (
        "_ZN2v86Module21CreateSyntheticModuleEPNS_7IsolateENS_5LocalINS_6StringEEERKNS_10MemorySpanIKS5_EEPFNS_10MaybeLocalINS_5ValueEEENS3_INS_7ContextEEENS3_IS0_EEE",
        _P,
        (_P, _P, _P, _P),
    ),
    "set_module_export": (
        "_ZN2v86Module24SetSyntheticModuleExportEPNS_7IsolateENS_5LocalINS_6StringEEENS3_INS_5ValueEEE",
        _MAYBE_BOOL,
        (_P, _P, _P, _P),
    ),
    "request_offset": ("_ZNK2v813ModuleRequest15GetSourceOffsetEv", _INT, (_P,)),
    "fixed_array_length": ("_ZNK2v810FixedArray6LengthEv", _INT, (_P,)),
    "fixed_array_get": ("_ZNK2v810FixedArray3GetEi", _P, (_P, _INT)),
    "set_import_callback": (
        "_ZN2v87Isolate38SetHostImportModuleDynamicallyCallbackEPFNS_10MaybeLocalINS_7PromiseEEENS_5LocalINS_7ContextEEENS4_INS_4DataEEENS4_INS_5ValueEEENS4_INS_6StringEEENS4_INS_10FixedArrayEEEE",
        None,
        (_P, _P),
    ),
    "set_import_meta_callback": (
        "_ZN2v87Isolate41SetHostInitializeImportMetaObjectCallbackEPFvNS_5LocalINS_7ContextEEENS1_INS_6ModuleEEENS1_INS_6ObjectEEEE",
        None,
        (_P, _P),
    ),
    "resolver_new": ("_ZN2v87Promise8Resolver3NewENS_5LocalINS_7ContextEEE", _P, (_P,)),
    "resolver_promise": ("_ZN2v87Promise8Resolver10GetPromiseEv", _P, (_P,)),
    "resolver_reject": (
        "_ZN2v87Promise8Resolver6RejectENS_5LocalINS_7ContextEEENS2_INS_5ValueEEE",
        _MAYBE_BOOL,
        (_P, _P, _P),
    ),
    "promise_state": ("_ZN2v87Promise5StateEv", _INT, (_P,)),
    "promise_result": ("_ZN2v87Promise6ResultEv", _P, (_P,)),
    "promise_mark_handled": ("_ZN2v87Promise13MarkAsHandledEv", None, (_P,)),
}
