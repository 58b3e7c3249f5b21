#include "relaxon/network/sweep.hpp"

namespace relaxon {

template <class T>
std::int64_t returned_bytes(const NetworkConfig& config, const SweepRequest& request) {
    if (request.kind != SweepKind::gradient) return 0;
    std::int64_t n = 0;
    const std::vector<ParameterArray> arrays = parameter_arrays(config);
    for (const ParameterArray& array : arrays) n += array.size();
    if (!request.wants_omega) n -= arrays.back().size();
    if (request.wants_input) n += request.batch * config.input_size();
    return n * static_cast<std::int64_t>(sizeof(T));
}

template std::int64_t returned_bytes<float>(const NetworkConfig&, const SweepRequest&);
template std::int64_t returned_bytes<double>(const NetworkConfig&, const SweepRequest&);

}  // namespace relaxon
