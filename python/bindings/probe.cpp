// What has to be known before one of the ISA modules can be loaded: the raw words in which the
// processor lists its features and the operating system the register files it saves. Which bit
// means what, and which bits a level needs, stands in relaxon/_isa.py, where it can be tested with
// the words of machines that are not at hand. Written against the C API alone: nothing here is
// worth the compile time of a binding library.
//
// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, CPUID and XGETBV.
#include <Python.h>

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace {

struct ProcessorWords {
    unsigned int leaf1_ecx = 0;
    unsigned int leaf7_ebx = 0;
    unsigned int leaf80000001_ecx = 0;
    std::uint64_t xcr0 = 0;
};

#if defined(__x86_64__)
std::uint64_t enabled_state_components() {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    // The intrinsic needs -mxsave, which this file must not be compiled with.
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
}

ProcessorWords read_words() {
    constexpr unsigned int osxsave = 1u << 27;
    ProcessorWords words;
    unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        words.leaf1_ecx = ecx;
        // xgetbv is an illegal instruction unless the operating system has enabled it.
        words.xcr0 = (ecx & osxsave) ? enabled_state_components() : 0;
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        words.leaf7_ebx = ebx;
    }
    if (__get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx)) {
        words.leaf80000001_ecx = ecx;
    }
    return words;
}
#else
ProcessorWords read_words() { return {}; }
#endif

PyObject* processor_words(PyObject*, PyObject*) {
    const ProcessorWords words = read_words();
    return Py_BuildValue("{s:I,s:I,s:I,s:K}", "leaf1_ecx", words.leaf1_ecx, "leaf7_ebx",
                         words.leaf7_ebx, "leaf80000001_ecx", words.leaf80000001_ecx, "xcr0",
                         static_cast<unsigned long long>(words.xcr0));
}

#if defined(__clang__)
constexpr char compiler[] = "Clang " __clang_version__;
#else
constexpr char compiler[] = "GCC " __VERSION__;
#endif

int add_constants(PyObject* module) {
    if (PyModule_AddStringConstant(module, "built_levels", RELAXON_ISA_LEVELS) < 0) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "compiler", compiler);
}

PyMethodDef methods[] = {{"processor_words", processor_words, METH_NOARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void*>(add_constants)},
#ifdef Py_mod_gil
                            {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
                            {0, nullptr}};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_probe", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__probe() { return PyModuleDef_Init(&definition); }
