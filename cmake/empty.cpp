// SPDX-License-Identifier: Apache-2.0
// A shared library wants a source of its own; its content is the embed module.
