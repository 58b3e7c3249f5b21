#include "relaxon/operators/sparse/csr.hpp"

#include <algorithm>

#include "relaxon/base/error.hpp"
#include "relaxon/operators/field.hpp"

namespace relaxon {

namespace {

using Indices = std::vector<std::int64_t>;

// Entries of rows, or of columns, that are not masked: where they lead, and their numbers.
struct Lines {
    Indices begin, other, entry;

    Lines(std::int64_t n, const Indices& lines, const Indices& others, const Indices& entries)
        : begin(static_cast<std::size_t>(n) + 1, 0), other(entries.size()), entry(entries.size()) {
        for (const std::int64_t line : lines) ++begin[static_cast<std::size_t>(line) + 1];
        for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) begin[i + 1] += begin[i];
        Indices next(begin.begin(), begin.end() - 1);
        for (std::size_t i = 0; i < lines.size(); ++i) {
            const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(lines[i])]++);
            other[at] = others[i];
            entry[at] = entries[i];
        }
    }

    // Sum over one line of data times values.
    template <class T>
    T sum(std::int64_t line, const T* data, const T* values) const {
        T total = T(0);
        const auto l = static_cast<std::size_t>(line);
        for (auto i = static_cast<std::size_t>(begin[l]);
             i < static_cast<std::size_t>(begin[l + 1]); ++i) {
            total += data[entry[i]] * values[other[i]];
        }
        return total;
    }
};

Lines rows_of(const Grid& grid, const Indices& indptr, const Indices& indices, bool is_transposed) {
    Indices rows, columns, entries;
    for (std::int64_t row = 0; row < grid.n_cells(); ++row) {
        const auto r = static_cast<std::size_t>(row);
        for (std::int64_t e = indptr[r]; e < indptr[r + 1]; ++e) {
            const std::int64_t column = indices[static_cast<std::size_t>(e)];
            if (!grid.exists(row) || !grid.exists(column)) continue;
            rows.push_back(row);
            columns.push_back(column);
            entries.push_back(e);
        }
    }
    return is_transposed ? Lines(grid.n_cells(), columns, rows, entries)
                         : Lines(grid.n_cells(), rows, columns, entries);
}

template <class T>
class CsrField final : public FieldOperator<T> {
public:
    CsrField(const Grid& grid, const Indices& indptr, const Indices& indices, std::int64_t depth,
             bool is_layered)
        : n_(grid.n_cells()), n_entries_(indptr.back()), n_sets_(is_layered ? depth : 1),
          rows_(rows_of(grid, indptr, indices, false)),
          columns_(rows_of(grid, indptr, indices, true)) {}

    Pattern pattern() const override { return Pattern(rows_.begin, rows_.other); }

    void assemble(std::int64_t layer, T* values, T* shift) override {
        for (std::size_t i = 0; i < rows_.entry.size(); ++i) {
            values[i] = data_of(layer)[rows_.entry[i]];
        }
        std::fill(shift, shift + n_, T(0));
    }

    void add_entries(std::int64_t layer, const T* values_bar,
                     const Gradients<T>& gradients) const override {
        T* bar = gradients.arrays[0] + (n_sets_ > 1 ? layer : 0) * n_entries_;
        for (std::size_t i = 0; i < rows_.entry.size(); ++i) bar[rows_.entry[i]] += values_bar[i];
    }

    void carve(Arena&, const FieldRequest& request) override { batch_ = request.batch; }
    void prepare(const Parameters<T>& parameters, Team&) override { data_ = parameters[0]; }
    void load(std::int64_t, const T* z, Team&) override { z_ = z; }
    void load_sources(std::int64_t, const T* s, Team&) override { s_ = s; }

    void load_tangent(std::int64_t, const T* z, const T* z_dot, Team&) override {
        z_ = z;
        z_dot_ = z_dot;
    }

    void apply(std::int64_t layer, const FieldBlock& block, T* out) const override {
        for_each(block, [&](std::int64_t first, std::int64_t i) {
            out[first + i] = rows_.sum(i, data_of(layer), z_ + first);
        });
    }

    void add_transpose(std::int64_t layer, const FieldBlock& block, T* out) const override {
        for_each(block, [&](std::int64_t first, std::int64_t i) {
            out[first + i] += columns_.sum(i, data_of(layer), s_ + first);
        });
    }

    void apply_tangent(const Parameters<T>& parameters_dot, std::int64_t layer,
                       const FieldBlock& block, T* out, T*) const override {
        const T* data_dot = parameters_dot[0] + (n_sets_ > 1 ? layer : 0) * n_entries_;
        for_each(block, [&](std::int64_t first, std::int64_t i) {
            out[first + i] =
                rows_.sum(i, data_dot, z_ + first) + rows_.sum(i, data_of(layer), z_dot_ + first);
        });
    }

    void clear(const Gradients<T>& gradients, Team&) override {
        bar_ = gradients.arrays[0];
        std::fill(bar_, bar_ + n_sets_ * n_entries_, T(0));
    }

    // A row's entries are its own, so that their gradients are complete here.
    void collect(std::int64_t layer, const FieldBlock& block, const T* z, const T* s) override {
        T* bar = bar_ + (n_sets_ > 1 ? layer : 0) * n_entries_;
        for (std::int64_t row = block.begin; row < block.end; ++row) {
            const auto r = static_cast<std::size_t>(row);
            for (auto i = static_cast<std::size_t>(rows_.begin[r]);
                 i < static_cast<std::size_t>(rows_.begin[r + 1]); ++i) {
                double sum = 0.0;
                for (std::int64_t first = 0; first < batch_ * n_; first += n_) {
                    sum += static_cast<double>(s[first + row]) * z[first + rows_.other[i]];
                }
                bar[rows_.entry[i]] += static_cast<T>(sum);
            }
        }
    }

    void accumulate(std::int64_t, const Gradients<T>&, Team&) override {}

private:
    const T* data_of(std::int64_t layer) const {
        return data_ + (n_sets_ > 1 ? layer : 0) * n_entries_;
    }

    template <class F>
    void for_each(const FieldBlock& block, const F& f) const {
        for (std::int64_t first = 0; first < batch_ * n_; first += n_) {
            for (std::int64_t i = block.begin; i < block.end; ++i) f(first, i);
        }
    }

    std::int64_t n_, n_entries_, n_sets_;
    std::int64_t batch_ = 1;
    Lines rows_, columns_;
    const T* data_ = nullptr;
    const T* z_ = nullptr;
    const T* z_dot_ = nullptr;
    const T* s_ = nullptr;
    T* bar_ = nullptr;
};

}  // namespace

std::shared_ptr<const Operator> csr(Indices indptr, Indices indices, bool is_layered) {
    require(!indptr.empty() && indptr.front() == 0 &&
                std::is_sorted(indptr.begin(), indptr.end()) &&
                indptr.back() == static_cast<std::int64_t>(indices.size()),
            "indptr", "ascending from 0 to the number of indices", indptr.size());
    const auto n_entries = static_cast<std::int64_t>(indices.size());
    return field_family(
        is_layered,
        [n_rows = static_cast<std::int64_t>(indptr.size()) - 1, indices,
         n_entries](const Grid& grid) {
            require(grid.n_cells() == n_rows, "indptr", "one entry per cell and one more", n_rows);
            for (const std::int64_t column : indices) {
                require(column >= 0 && column < n_rows, "indices", "numbers of cells", column);
            }
            return std::vector<ParameterArray>{{"data", {n_entries}, {Axis::components}}};
        },
        [indptr, indices, is_layered](const Grid& grid, std::int64_t depth, auto scalar) {
            return std::make_unique<CsrField<decltype(scalar)>>(grid, indptr, indices, depth,
                                                                is_layered);
        });
}

}  // namespace relaxon
