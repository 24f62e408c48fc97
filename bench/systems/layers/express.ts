import { readConfig } from '../../../runtime/config.ts';
import { createPlainApp } from '../plain/app.ts';
import { serve } from './serve.ts';

/** Express as a good tutorial would set it up: helmet, JSON, JWT, zod, and 202 as the only answer. */
await serve(createPlainApp(async () => null, readConfig().JWT_SECRET, {}));
