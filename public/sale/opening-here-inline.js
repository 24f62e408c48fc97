/** Runs where it stands in the page, because the server does not know the time zone of this device. */

import { renderOpeningHere } from './opening-here.js';

renderOpeningHere();
