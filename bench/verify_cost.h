// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace kubiya::bench {

// verify-cost ROUNDS MILLISECONDS: for each algorithm a line "NAME OURS RAW RATIO": microseconds to
// judge a token that was never seen, and to verify its signature with OpenSSL alone, medians of
// interleaved rounds; the ratio is that of the throughputs.
int verify_cost(char** argv);

}  // namespace kubiya::bench
