// The contract of a stencil operator: the physical coefficients (R, U, D, moments, ...) are
// coordinates of the stencil weights. An operator states its arms, maps coefficients to weights
// (prepare), small changes of them likewise (prepare_tangent), and gradients of the weights back
// (pullback). Everything else, boundaries, masks, layers, sweeps, is shared. stencil_family makes
// an operator of networks of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "relaxon/operators/operator.hpp"
#include "relaxon/operators/stencil/kernels.hpp"

namespace relaxon {

// One array of parameters: components come before the cells, (n_components, *cells).
struct CoefficientArray {
    std::string name;
    std::int64_t n_components;
    bool has_component_axis;  // false: a scalar field such as R
};

// n entries of every component: component c of entry i is data[c][i * step]; step 0 repeats one
// value, so a homogeneous coefficient can meet a local omega.
template <class T>
struct CoefficientBlock {
    const T* const* data;
    std::int64_t step;
};

template <class T>
class StencilOperator {
public:
    virtual ~StencilOperator() = default;

    virtual const std::vector<CoefficientArray>& coefficients() const = 0;
    virtual const std::vector<Arm>& arms() const = 0;
    virtual int radius() const = 0;
    // True if the weights change with the relaxation rate of the layer.
    virtual bool uses_omega() const { return false; }

    // weights[k][i], k over arms, i < n.
    virtual void prepare(const CoefficientBlock<T>& coefficients, const T* omega,
                         std::int64_t omega_step, std::int64_t n, T* const* weights) const = 0;
    // The derivative of prepare along (coefficients_dot, omega_dot).
    virtual void prepare_tangent(const CoefficientBlock<T>& coefficients,
                                 const CoefficientBlock<T>& coefficients_dot, const T* omega,
                                 const T* omega_dot, std::int64_t omega_step, std::int64_t n,
                                 T* const* weights_dot) const = 0;
    // Its transpose: bar[c][i] and omega_bar[i] are set, i < n.
    virtual void pullback(const CoefficientBlock<T>& coefficients, const T* omega,
                          std::int64_t omega_step, const T* const* weights_bar, std::int64_t n,
                          T* const* bar, T* omega_bar) const = 0;

    std::int64_t n_components() const {
        std::int64_t n = 0;
        for (const CoefficientArray& array : coefficients()) n += array.n_components;
        return n;
    }
};

// A family of stencils as an operator of networks: describe(grid) gives its coefficients or refuses
// the grid, make(grid, T()) the kernels.
template <class Describe, class Make>
class StencilFamily final : public Operator {
public:
    StencilFamily(bool is_local, bool is_layered, Describe describe, Make make)
        : Operator(is_local, is_layered), describe_(std::move(describe)), make_(std::move(make)) {}

    std::vector<ParameterArray> arrays(const Grid& grid, std::int64_t depth) const override {
        std::vector<ParameterArray> arrays;
        for (const CoefficientArray& coefficient : describe_(grid)) {
            ParameterArray array{coefficient.name, {}, {}};
            if (coefficient.has_component_axis) {
                array.shape.push_back(coefficient.n_components);
                array.axes.push_back(Axis::components);
            }
            if (is_local()) append_grid(array, grid.shape());
            arrays.push_back(layered(std::move(array), depth));
        }
        return arrays;
    }
    bool is_stencil() const override { return true; }

protected:
    std::unique_ptr<StencilOperator<float>> make_stencil(const Grid& grid, float) const override {
        return make_(grid, float());
    }
    std::unique_ptr<StencilOperator<double>> make_stencil(const Grid& grid, double) const override {
        return make_(grid, double());
    }

private:
    Describe describe_;
    Make make_;
};

template <class Describe, class Make>
std::shared_ptr<const Operator> stencil_family(bool is_local, bool is_layered,
                                               const Describe& describe, const Make& make) {
    return std::make_shared<StencilFamily<Describe, Make>>(is_local, is_layered, describe, make);
}

// An operator whose weights are a constant linear map of its coefficients: w = M c.
template <class T>
class LinearStencil : public StencilOperator<T> {
public:
    // map[k][c], k over arms, c over components.
    LinearStencil(CoefficientArray array, std::vector<Arm> arms, int radius,
                  std::vector<std::vector<double>> map)
        : coefficients_{std::move(array)}, arms_(std::move(arms)), radius_(radius),
          map_(std::move(map)) {}

    const std::vector<CoefficientArray>& coefficients() const override { return coefficients_; }
    const std::vector<Arm>& arms() const override { return arms_; }
    int radius() const override { return radius_; }

    void prepare(const CoefficientBlock<T>& coefficients, const T*, std::int64_t, std::int64_t n,
                 T* const* weights) const override {
        for (std::size_t k = 0; k < map_.size(); ++k) {
            for (std::int64_t i = 0; i < n; ++i) {
                double sum = 0.0;
                for (std::size_t c = 0; c < map_[k].size(); ++c) {
                    sum += map_[k][c] * coefficients.data[c][i * coefficients.step];
                }
                weights[k][i] = static_cast<T>(sum);
            }
        }
    }

    void prepare_tangent(const CoefficientBlock<T>&, const CoefficientBlock<T>& coefficients_dot,
                         const T*, const T*, std::int64_t, std::int64_t n,
                         T* const* weights_dot) const override {
        prepare(coefficients_dot, nullptr, 0, n, weights_dot);
    }

    void pullback(const CoefficientBlock<T>&, const T*, std::int64_t, const T* const* weights_bar,
                  std::int64_t n, T* const* bar, T* omega_bar) const override {
        for (std::size_t c = 0; c < map_.front().size(); ++c) {
            for (std::int64_t i = 0; i < n; ++i) {
                double sum = 0.0;
                for (std::size_t k = 0; k < map_.size(); ++k) {
                    sum += map_[k][c] * weights_bar[k][i];
                }
                bar[c][i] = static_cast<T>(sum);
            }
        }
        for (std::int64_t i = 0; i < n; ++i) omega_bar[i] = T(0);
    }

private:
    std::vector<CoefficientArray> coefficients_;
    std::vector<Arm> arms_;
    int radius_;
    std::vector<std::vector<double>> map_;
};

// The arms -radius..radius of a one-dimensional stencil.
inline std::vector<Arm> line_arms(int radius) {
    std::vector<Arm> arms;
    for (int j = -radius; j <= radius; ++j) arms.push_back({j, 0, 0});
    return arms;
}

}  // namespace relaxon
