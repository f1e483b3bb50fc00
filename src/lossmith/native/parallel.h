// Work in fixed pieces: what a piece computes does not depend on the number of threads, so neither does any result.
#pragma once

#include <cstdint>

#ifndef LOSSMITH_ISA
#define LOSSMITH_ISA portable
#endif

namespace lossmith {
inline namespace LOSSMITH_ISA {

// Calls body(piece) for 0 to pieces - 1. Neighbouring pieces run on one thread, so that pages stay with it.
template <typename Body>
inline void in_parallel(const std::int64_t pieces, const int threads, const Body& body) {
    if (threads <= 1 || pieces <= 1) {
        for (std::int64_t piece = 0; piece < pieces; ++piece) body(piece);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t piece = 0; piece < pieces; ++piece) body(piece);
}

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
