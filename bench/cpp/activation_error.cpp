// The largest errors of all activations: in float over every one of its 2^32 values (or every n-th,
// with n as the argument) against double, in double by a search against long double that goes on
// around the worst values it has found.
//
//     relaxon_activation_error_v4 [n]
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "../../tests/cpp/activation_reference.hpp"

namespace relaxon::bench {
namespace {

struct Worst {
    double ulp = 0.0, at = 0.0;
    double derivative = 0.0, derivative_at = 0.0;

    void add(const Worst& other) {
        if (other.ulp > ulp) ulp = other.ulp, at = other.at;
        if (other.derivative > derivative) {
            derivative = other.derivative;
            derivative_at = other.derivative_at;
        }
    }
};

template <class Reference, class T>
Worst errors_of(Activation kind, const std::vector<T>& points, std::vector<double>* ulps) {
    std::vector<T> f(points.size()), derivative(points.size());
    activate_with_derivative(kind, points.data(), f.data(), derivative.data(), points.size());
    Worst worst;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const Exact<Reference> expected = exact<Reference>(kind, points[i]);
        const auto at = static_cast<double>(points[i]);
        const auto ulp = static_cast<double>(error_in_ulp(f[i], expected.f));
        const auto slope =
            static_cast<double>(derivative_error(kind, derivative[i], expected.derivative));
        worst.add({ulp, at, slope, at});
        if (ulps) ulps->push_back(ulp);
    }
    return worst;
}

Worst scan_float(Activation kind, std::uint64_t step) {
    constexpr std::uint64_t n_all = std::uint64_t{1} << 32, n_part = std::uint64_t{1} << 16;
    std::atomic<std::uint64_t> next{0};
    const auto n_threads = std::max(1U, std::thread::hardware_concurrency());
    std::vector<Worst> found(n_threads);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < n_threads; ++t) {
        threads.emplace_back([&, t] {
            while (true) {
                const std::uint64_t begin = next.fetch_add(n_part * step);
                if (begin >= n_all) return;
                std::vector<float> points;
                for (std::uint64_t i = 0; i < n_part && begin + i * step < n_all; ++i) {
                    const auto bits = static_cast<std::uint32_t>(begin + i * step);
                    float x;
                    std::memcpy(&x, &bits, sizeof x);
                    if (std::isfinite(x)) points.push_back(x);
                }
                found[t].add(errors_of<double>(kind, points, nullptr));
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    Worst worst;
    for (const Worst& part : found) worst.add(part);
    return worst;
}

// x moved by a number of units in its last place.
double step_from(double x, std::int64_t units) {
    std::int64_t bits;
    std::memcpy(&bits, &x, sizeof x);
    bits += units;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

// Random values of all binades and of the ranges where something happens; then, round after round,
// neighbours near and far of the worst of them.
Worst search_double(Activation kind) {
    constexpr std::size_t n_first = 1 << 20, n_kept = 1 << 10, n_around = 64;
    constexpr int n_rounds = 24;
    std::mt19937_64 random(20261125);
    std::uniform_real_distribution<double> unit(-1.0, 1.0);
    std::uniform_int_distribution<int> exponent(-1074, 1023), reach(0, 44);
    std::vector<double> points;
    for (const double range : {0.5, 1.0, 3.0, 20.0, 60.0, 800.0}) {
        for (std::size_t i = 0; i < n_first / 8; ++i) points.push_back(range * unit(random));
    }
    while (points.size() < n_first) points.push_back(std::ldexp(unit(random), exponent(random)));
    Worst worst;
    std::vector<double> best, best_ulps;
    for (int round = 0; round <= n_rounds; ++round) {
        std::vector<double> ulps;
        worst.add(errors_of<long double>(kind, points, &ulps));
        best.insert(best.end(), points.begin(), points.end());
        best_ulps.insert(best_ulps.end(), ulps.begin(), ulps.end());
        std::vector<std::size_t> order(best.size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::partial_sort(order.begin(), order.begin() + n_kept, order.end(),
                          [&](auto a, auto b) { return best_ulps[a] > best_ulps[b]; });
        std::vector<double> kept, kept_ulps;
        points.clear();
        for (std::size_t i = 0; i < n_kept; ++i) {
            const double x = best[order[i]];
            kept.push_back(x);
            kept_ulps.push_back(best_ulps[order[i]]);
            for (std::size_t k = 0; k < n_around; ++k) {
                const double size = std::ldexp(1.0, reach(random));
                const double y =
                    step_from(x, static_cast<std::int64_t>(size * unit(random)) + (k % 2 ? 1 : -1));
                if (std::isfinite(y)) points.push_back(y);
            }
        }
        best = kept;
        best_ulps = kept_ulps;
    }
    return worst;
}

void print(Activation kind, const char* type, const Worst& worst) {
    std::printf("| %s | %s | %.3f | %.9g | %.3f | %.9g |\n", name(kind), type, worst.ulp, worst.at,
                worst.derivative, worst.derivative_at);
    std::fflush(stdout);
}

}  // namespace
}  // namespace relaxon::bench

int main(int n_arguments, char** arguments) {
    using namespace relaxon;
    const std::uint64_t step = n_arguments > 1 ? std::strtoull(arguments[1], nullptr, 10) : 1;
    if (step < 1) {
        std::fprintf(stderr, "step: at least 1 is needed, not %s\n", arguments[1]);
        return 2;
    }
    std::printf("| activation | type | ULP | at | f' in eps max abs f' | at |\n");
    std::printf("| --- | --- | --- | --- | --- | --- |\n");
    for (const Activation kind : kActivations) {
        bench::print(kind, "float32", bench::scan_float(kind, step));
        bench::print(kind, "float64", bench::search_double(kind));
    }
}
