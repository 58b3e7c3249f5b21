#include "ceiling.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <vector>

#include "relaxon/base/simd.hpp"
#include "relaxon/operators/stencil/kernels.hpp"
#include "relaxon/pointwise/activation.hpp"

namespace relaxon::bench {

namespace {

// Seconds of one call at the best of many, so that neighbours on the machine do not lower a
// ceiling.
template <class F>
double best_seconds(const F& call) {
    using Clock = std::chrono::steady_clock;
    double best = 1e300;
    const Clock::time_point start = Clock::now();
    while (Clock::now() - start < std::chrono::milliseconds(100)) {
        const Clock::time_point begin = Clock::now();
        call();
        best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
    }
    return best;
}

}  // namespace

template <class T>
double multiply_add_rate() {
    static const double rate = [] {
        constexpr int n_chains = 10, n_steps = 100000;
        Pack<T> sums[n_chains];
        for (int i = 0; i < n_chains; ++i) sums[i] = broadcast(static_cast<T>(i));
        // Of the compiler's ignorance, or it would know the result.
        volatile T near_one = T(0.999), small = T(1e-3);
        const Pack<T> factor = broadcast(static_cast<T>(near_one));
        const Pack<T> term = broadcast(static_cast<T>(small));
        const double seconds = best_seconds([&] {
            for (int step = 0; step < n_steps; ++step) {
                for (Pack<T>& sum : sums) sum = sum * factor + term;
            }
        });
        volatile T sink = T(0);
        for (const Pack<T>& sum : sums) sink = sink + sum[0];
        return 2.0 * n_chains * n_steps * static_cast<double>(kPackWidth<T>) / seconds;
    }();
    return rate;
}

double copy_rate(std::int64_t n_bytes) {
    static std::map<std::int64_t, double> rates;
    std::int64_t size = 4096;
    while (size < n_bytes) size *= 2;
    const auto found = rates.find(size);
    if (found != rates.end()) return found->second;
    // Half of the bytes are read, half written.
    std::vector<char> memory(static_cast<std::size_t>(size), 1);
    const auto half = static_cast<std::size_t>(size / 2);
    const auto n_repeats = std::max<std::int64_t>(1, (std::int64_t{1} << 20) / size);
    const double seconds = best_seconds([&] {
        for (std::int64_t i = 0; i < n_repeats; ++i) {
            std::memcpy(memory.data(), memory.data() + half, half);
            asm volatile("" : : "r"(memory.data()) : "memory");
        }
    });
    return rates[size] = static_cast<double>(size * n_repeats) / seconds;
}

template <class T>
double tanh_seconds() {
    static const double seconds = [] {
        alignas(64) T pre[kBlock], f[kBlock];
        for (std::int64_t i = 0; i < kBlock; ++i) pre[i] = static_cast<T>(i - kBlock / 2) / T(32);
        constexpr int n_repeats = 1000;
        return best_seconds([&] {
                   for (int i = 0; i < n_repeats; ++i) {
                       activate(Activation::tanh, pre, f, static_cast<std::size_t>(kBlock));
                   }
               }) /
               static_cast<double>(n_repeats * kBlock);
    }();
    return seconds;
}

template double multiply_add_rate<float>();
template double multiply_add_rate<double>();
template double tanh_seconds<float>();
template double tanh_seconds<double>();

}  // namespace relaxon::bench
