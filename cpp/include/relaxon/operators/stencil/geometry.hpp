// Where the arms of a stencil lead on the padded layout of a grid.
//
// An arm that points into the mask is cut: it sees the centre cell (Neumann) or a constant
// (Dirichlet) instead of its target.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/domain/layout.hpp"

namespace relaxon {

using Arm = std::array<int, 3>;

struct CutArm {
    std::int64_t flat;  // centre cell
    int arm;
};

class StencilGeometry {
public:
    StencilGeometry(const Grid& grid, const std::vector<Arm>& arms, int radius,
                    std::int64_t overlap, std::int64_t n_lanes = 1);

    const Layout& layout() const { return layout_; }
    // Arms at entries -1, 0 and 1.
    bool is_line() const { return offsets_.size() == 3 && offsets_.back() == 1; }
    int n_arms() const { return static_cast<int>(offsets_.size()); }
    std::int64_t offset(int arm) const { return offsets_[static_cast<std::size_t>(arm)]; }
    // What a cut arm sees is the centre's own value; otherwise cut_value().
    bool cut_sees_centre() const { return cut_sees_centre_; }
    double cut_value() const { return cut_value_; }

    // Entries before and after a padded field that kernels may read.
    std::int64_t margin() const {
        return round_up(layout_.inner_reach() + kReadAhead, kAlignedEntries);
    }
    // The same for fields that the gather of W^T reads around ghost rows.
    std::int64_t wide_margin() const {
        return margin() + round_up(layout_.radius() * layout_.row_length(), kAlignedEntries);
    }
    std::int64_t field_length() const { return layout_.size() + 2 * margin(); }
    std::int64_t wide_field_length() const { return layout_.size() + 2 * wide_margin(); }

    // f(flat, arm) for the cut arms whose centre lies in [begin, end), in fixed order.
    template <class F>
    void for_each_cut_arm(std::int64_t begin, std::int64_t end, const F& f) const {
        if (cut_arms_.empty()) return;
        for_each_period(begin, end, layout_.begin(0), layout_.period(),
                        [&](std::int64_t first, std::int64_t last, std::int64_t shift) {
                            auto cut = std::partition_point(
                                cut_arms_.begin(), cut_arms_.end(),
                                [&](const CutArm& c) { return c.flat + shift < first; });
                            for (; cut != cut_arms_.end() && cut->flat + shift < last; ++cut) {
                                f(cut->flat + shift, cut->arm);
                            }
                        });
    }

private:
    static constexpr std::int64_t kReadAhead = 64;

    Layout layout_;
    std::vector<std::int64_t> offsets_;
    std::vector<CutArm> cut_arms_;
    bool cut_sees_centre_;
    double cut_value_;
};

// What an arm of an existing cell sees, boundaries and cuts included.
GhostSource arm_target(const Grid& grid, std::int64_t cell, const Arm& arm);

}  // namespace relaxon
