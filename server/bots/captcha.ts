import { z } from 'zod';
import type { Config } from '../../runtime/config.ts';
import { Overloaded } from '../../runtime/group-commit.ts';
import type { Log } from '../../runtime/observe/log.ts';
import type { CaptchaProvider } from '../../sale/contract.ts';

/** The captcha of another company that the shop may plug in. It is asked over HTTP whether a token of a page is valid. */
export interface Captcha {
  provider: CaptchaProvider;
  /** For the provider's form in the page. */
  siteKey: string;
  /** Whether people are let in with a proof of work alone while the provider does not answer. */
  lastsOnWork: boolean;
  /** Whether signing up needs one. */
  isForSignUps: boolean;
  /**
   * @param about what the page has solved it for; Turnstile signs it.
   * @throws Overloaded when too many tokens are being verified.
   */
  verify(token: string, about: string, address: string): Promise<'passed' | 'failed' | 'away'>;
}

/** Where the providers verify, and the origins from which their form is loaded into a page. */
export const captchaProviders = {
  turnstile: {
    verifyUrl: 'https://challenges.cloudflare.com/turnstile/v0/siteverify',
    origins: ['https://challenges.cloudflare.com'],
  },
  hcaptcha: {
    verifyUrl: 'https://api.hcaptcha.com/siteverify',
    origins: ['https://hcaptcha.com', 'https://*.hcaptcha.com'],
  },
} as const;

/** hCaptcha's tokens are the longest, with a few thousand characters. */
const tokenMaxLength = 8_192;
const maxVerifying = 200;

/** Both providers answer so; an error code that begins like this is about our own secret. */
const verdict = z.object({
  success: z.boolean(),
  'error-codes': z.array(z.string()).default([]),
  cdata: z.string().optional(),
});
const isOurFault = (code: string) => /-input-secret$|^internal-error$|^sitekey-secret-mismatch$/.test(code);

export function openCaptcha(config: Config, log: Log): Captcha | null {
  const { CAPTCHA_PROVIDER: provider, CAPTCHA_SECRET: secret, CAPTCHA_SITE_KEY: siteKey } = config;
  if (provider === 'none') return null;
  const url = config.CAPTCHA_VERIFY_URL || captchaProviders[provider].verifyUrl;
  let verifying = 0;

  async function ask(token: string, about: string, address: string) {
    const ofSite = provider === 'hcaptcha' ? { sitekey: siteKey } : {};
    const response = await fetch(url, {
      method: 'POST',
      body: new URLSearchParams({ secret, response: token, remoteip: address, ...ofSite }),
      redirect: 'error',
      signal: AbortSignal.timeout(config.CAPTCHA_TIMEOUT_MS),
    });
    // Both answer 200 to tokens that they refuse, and Turnstile 400 to what it does not understand.
    if (response.status >= 500) throw new Error(`it answered ${response.status}`);
    const { success, cdata, 'error-codes': codes } = verdict.parse(await response.json());
    if (codes.some(isOurFault)) throw new Error(`it answered ${codes.join(', ')}`);
    return success && (provider !== 'turnstile' || cdata === about);
  }
  return {
    provider,
    siteKey,
    lastsOnWork: config.CAPTCHA_WHEN_AWAY === 'proof-of-work',
    isForSignUps: config.CAPTCHA_SIGN_UPS === 'on',
    async verify(token, about, address) {
      if (token === '' || token.length > tokenMaxLength) return 'failed';
      if (verifying >= maxVerifying) throw new Overloaded('too many captchas are being verified');
      verifying += 1;
      try {
        return (await ask(token, about, address)) ? 'passed' : 'failed';
      } catch (error) {
        log.warn({ error: (error as Error).message, provider }, 'the captcha provider does not answer');
        return 'away';
      } finally {
        verifying -= 1;
      }
    },
  };
}
