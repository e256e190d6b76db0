/** The Raft log of the examples under the tests that `@markwylde/liferaft` has for its log. */
import { defineLiferaftTests } from '../tools/liferaft-suite.js';

defineLiferaftTests(['log']);
