#include "relaxon/checkpoint/plan.hpp"

#include <algorithm>

#include "relaxon/base/error.hpp"
#include "relaxon/checkpoint/schedule.hpp"

namespace relaxon {

SegmentMap::SegmentMap(std::vector<std::int64_t> at, std::int64_t length, std::int64_t first)
    : first_(first), end_(first), length_(length) {
    std::sort(at.begin(), at.end());
    for (const std::int64_t end : at) {
        require(end >= first, "at", "no target before the first layer", end);
        if (end == end_) continue;
        pieces_.push_back({n_segments_, end_, end});
        n_segments_ += (end - end_ + length - 1) / length;
        end_ = end;
    }
}

std::int64_t SegmentMap::find_begin(std::int64_t i) const {
    if (i >= n_segments_) return end_;
    const auto next = std::upper_bound(
        pieces_.begin(), pieces_.end(), i,
        [](std::int64_t segment, const Piece& piece) { return segment < piece.first_segment; });
    const Piece& piece = *(next - 1);
    return piece.first_layer + (i - piece.first_segment) * length_;
}

Evaluations count_evaluations(const PlanInput& input, std::int64_t n_snapshots) {
    Evaluations count;
    const SegmentMap& segments = input.segments;
    const std::int64_t n = segments.n_segments();
    if (!input.has_gradient || n == 0) return count;
    if (segments.length() == 1) {
        count.advances = minimal_advances(n, n_snapshots);
    } else {
        std::vector<std::int64_t> storage(
            static_cast<std::size_t>(Schedule::storage_length(n, n_snapshots)));
        Schedule schedule(n, n_snapshots, storage.data());
        for (Action action = schedule.next(); action.kind != ActionKind::done;
             action = schedule.next()) {
            if (action.kind != ActionKind::advance) continue;
            count.advances += segments.begin(action.end_or_slot) - segments.begin(action.step);
        }
        count.advances += segments.n_layers() - n;
    }
    count.reversals = segments.n_layers();
    count.outputs = input.has_output ? 1 : 0;
    if (input.has_output && input.has_state_loss && n > 0) {
        count.advances += segments.begin(n) - segments.begin(n - 1) - 1;
    }
    return count;
}

Plan make_plan(const PlanInput& input) {
    Plan plan;
    plan.n_layers = input.segments.n_layers();
    plan.segment = input.segments.length();
    plan.state_bytes = input.state_bytes;
    plan.fixed_bytes = input.fixed_bytes;
    plan.minimum_bytes = input.fixed_bytes + input.block_bytes;
    if (input.memory_bytes >= 0 && input.memory_bytes < plan.minimum_bytes) {
        throw BudgetError(input.memory_bytes, plan.minimum_bytes);
    }
    const std::int64_t most_snapshots =
        input.has_gradient ? std::max<std::int64_t>(input.segments.n_segments() - 1, 0) : 0;
    const std::int64_t snapshot_bytes = input.state_bytes + input.slot_bytes;
    bool is_first = true;
    for (std::int64_t blocks = input.max_blocks; blocks >= 1; --blocks) {
        std::int64_t snapshots = most_snapshots;
        if (input.memory_bytes >= 0) {
            const std::int64_t room =
                (input.memory_bytes - input.fixed_bytes) / blocks - input.block_bytes;
            if (room < 0) continue;
            snapshots = std::min(snapshots, room / snapshot_bytes);
        }
        const Evaluations count = count_evaluations(input, snapshots);
        // evaluations / blocks, compared as fractions
        const bool is_better =
            is_first || count.total() * plan.blocks_in_flight < plan.evaluations.total() * blocks;
        if (!is_better) continue;
        is_first = false;
        plan.n_snapshots = snapshots;
        plan.blocks_in_flight = blocks;
        plan.evaluations = count;
    }
    plan.store_all = plan.n_snapshots == most_snapshots;
    plan.block_bytes = input.block_bytes + plan.n_snapshots * snapshot_bytes;
    plan.total_bytes = plan.fixed_bytes + plan.blocks_in_flight * plan.block_bytes;
    return plan;
}

}  // namespace relaxon
