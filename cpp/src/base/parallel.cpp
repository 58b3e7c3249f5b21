#include "relaxon/base/parallel.hpp"

namespace relaxon {

// Workers 1..n of a loop, or as many as there are.
void Team::start(int n, Job job) {
    if (n <= 0) return;
    if (is_orphan()) {
        workers_ = nullptr;
        n_workers_ = 0;
        n_forks_ = relaxon::n_forks();
    }
    while (n_workers_ < n) {
        Worker* worker = borrow_worker();
        if (!worker) break;
        worker->next = workers_;
        workers_ = worker;
        ++n_workers_;
    }
    n = std::min(n, n_workers_);
    for (Worker* worker = workers_; n_started_ < n; worker = worker->next) {
        job.number = ++n_started_;
        worker->start(job);
    }
}

void Team::wait(AnyLoop& loop) {
    // As often as a signal's handler is looked for.
    constexpr std::chrono::milliseconds pause(50);
    for (Worker* worker = workers_; n_started_ > 0; worker = worker->next, --n_started_) {
        while (!is_orphan() && !worker->finish(pause)) {
            if (stopped_) continue;
            try {
                poll(true);
            } catch (...) {
                loop.fail();
            }
        }
    }
}

}  // namespace relaxon
